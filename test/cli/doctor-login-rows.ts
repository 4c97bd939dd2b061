// What the doctor says of challenges, tokens and upstreams.

import { HTML, error } from './doctor-row.ts'
import type { Row } from './doctor-row.ts'
import type { Symptoms } from './doctor-patient.ts'

/** Rows of tokens. */
export const LOGIN: readonly Row[] = [
  {
    name: 'a page instead of a challenge',
    symptoms: () => ({ status: HTML }),
    check: 'challenge',
    says: /^a page for people/,
  },
  {
    name: 'no need to log in',
    symptoms: () => ({ status: { status: 200 } }),
    check: 'challenge',
    says: 'nobody is asked to log in (200)',
    advice: 'no entrepot',
  },
  {
    name: 'no challenge',
    symptoms: () => ({ base: { status: 401 } }),
    check: 'challenge',
    says: '401 without WWW-Authenticate',
    advice: 'removes the header',
  },
  {
    name: "a proxy's login",
    symptoms: () => ({
      base: { status: 401, headers: { 'www-authenticate': 'Basic realm="proxy"' } },
    }),
    check: 'challenge',
    says: 'a login by basic',
    advice: 'A proxy with a login of its own',
  },
  {
    name: "a proxy's login beside ours",
    symptoms: ({ registry }) => ({
      status: {
        headers: {
          'www-authenticate': `Bearer realm="${registry}/token",service="s", Basic realm="proxy"`,
        },
      },
    }),
    check: 'challenge',
    says: 'a login by bearer and basic',
  },
  {
    name: 'a realm that is none',
    symptoms: () => ({ status: { headers: { 'www-authenticate': 'Bearer realm="/token"' } } }),
    check: 'challenge',
    says: 'a challenge without the address of a token service',
    advice: 'changed on the way',
  },
  {
    name: 'a realm elsewhere, where no secret goes',
    symptoms: ({ storage }) => ({
      status: { headers: { 'www-authenticate': `Bearer realm="${storage}/token",service="s"` } },
      storage: { status: 200, body: '{"token":"canary-token"}' },
    }),
    check: 'challenge',
    state: 'warning',
    says: /^tokens from http:\/\/localhost:\d+, asked as http:\/\/127\.0\.0\.1:\d+$/,
    advice: 'PUBLIC_URL',
  },
  {
    name: 'no token service',
    symptoms: () => ({
      status: { headers: { 'www-authenticate': 'Bearer realm="http://127.0.0.1:1/token"' } },
    }),
    check: 'anonymous token',
    says: /^127\.0\.0\.1:1 cannot be asked|^nothing listens on 127\.0\.0\.1:1/,
  },
  {
    name: 'a page instead of a token',
    symptoms: () => ({ token: HTML }),
    check: 'anonymous token',
    says: /^a page for people/,
  },
  {
    name: 'an anonymous token refused',
    symptoms: () => ({ token: { status: 401 } }),
    check: 'anonymous token',
    says: 'refused (401)',
    advice: 'Clients without a login',
  },
  {
    name: 'an answer without a token',
    symptoms: () => ({ token: { body: '{}' } }),
    check: 'anonymous token',
    says: 'an answer without a token',
    advice: 'is none',
  },
  {
    name: 'another service',
    symptoms: () => ({ token: error(400, 'a field has a value that is not supported') }),
    check: 'anonymous token',
    says: 'the token service refuses the question (400: a field has a value that is not supported)',
    advice: 'PUBLIC_URL',
  },
  {
    name: 'a wrong secret',
    symptoms: () => ({ 'token of an account': error(401, 'authentication required') }),
    check: 'account token',
    says: 'the secret of ci (ENTREPOT_SECRET) is refused (401)',
    advice: 'rotate ci',
  },
  {
    name: 'accounts that are away, which says nothing of the secret',
    symptoms: () => ({ 'token of an account': error(503, 'accounts cannot be looked up now') }),
    check: 'account token',
    says: 'accounts cannot be looked up (503: accounts cannot be looked up now)',
    advice: 'nothing about the secret',
  },
  {
    name: 'too many wrong secrets',
    symptoms: () => ({ 'token of an account': error(429, 'too many', { 'retry-after': '60' }) }),
    check: 'account token',
    says: 'too many tokens or wrong secrets from here (429, again in 60 s)',
    advice: 'LOGIN_LIMIT',
  },
  {
    name: 'a token service that fails',
    symptoms: () => ({ 'token of an account': { status: 500 } }),
    check: 'account token',
    says: 'the token service answers 500 (no message)',
    advice: 'wrangler tail',
  },
  {
    name: 'nobody to ask as',
    symptoms: () => ({}),
    isAnonymous: true,
    check: 'account token',
    state: 'not checked',
    says: 'nobody',
  },
]

const LATER = new Date(Date.now() + 3_600_000).toISOString()
const NOW = new Date().toISOString()

function gates(gate: object): Symptoms {
  const upstreams = [{ host: 'docker.io', gates: [{ credential: 0, ...gate }] }]
  return () => ({ 'status of an administrator': { body: JSON.stringify({ upstreams }) } })
}

/** Rows of upstreams. */
export const UPSTREAMS: readonly Row[] = [
  {
    name: 'nobody to ask as',
    symptoms: () => ({}),
    isAnonymous: true,
    check: 'upstreams',
    state: 'not checked',
    says: 'for administrators only',
  },
  {
    name: 'no administrator',
    symptoms: () => ({ 'status of an administrator': { status: 401 } }),
    check: 'upstreams',
    state: 'not checked',
    says: 'ci is no administrator (a grant of admin)',
  },
  {
    name: 'a failure',
    symptoms: () => ({ 'status of an administrator': { status: 500 } }),
    check: 'upstreams',
    says: '/_/upstreams is answered 500',
    advice: 'wrangler tail',
  },
  {
    name: 'a page',
    symptoms: () => ({ 'status of an administrator': HTML }),
    check: 'upstreams',
    says: /^a page for people/,
  },
  {
    name: 'a refused login',
    symptoms: gates({ restingUntil: LATER }),
    check: 'upstreams',
    says: `docker.io with login 1 is refused until ${LATER}`,
    advice: 'UPSTREAM_CREDENTIALS',
  },
  {
    name: 'a limit',
    symptoms: gates({ credential: null, limitedUntil: LATER }),
    check: 'upstreams',
    says: `docker.io is limited until ${LATER}`,
    advice: 'Only what is cached',
  },
  {
    name: 'a low budget',
    symptoms: gates({ budget: { limit: 200, remaining: 19 } }),
    check: 'upstreams',
    state: 'warning',
    says: 'docker.io with login 1 has 19 of 200 requests left',
    advice: 'tagTTL',
  },
  {
    name: 'a failure of just now',
    symptoms: gates({ lastError: { at: NOW, reason: 'connection refused' } }),
    check: 'upstreams',
    state: 'warning',
    says: `docker.io with login 1 failed at ${NOW}: connection refused`,
    advice: 'asked again',
  },
  {
    name: 'what is long over',
    symptoms: gates({
      limitedUntil: '2026-01-01T00:00:00Z',
      restingUntil: '2026-01-01T00:00:00Z',
      lastError: { at: '2026-01-01T00:00:00Z', reason: 'x' },
      budget: { limit: 200, remaining: 150 },
    }),
    check: 'upstreams',
    state: 'ok',
    says: '1 in the table, none limited or refusing; docker.io 150 of 200 left',
  },
]
