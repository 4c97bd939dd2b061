// What the doctor says where something else than a well registry answers.

import { HTML, error } from './doctor-row.ts'
import type { Row } from './doctor-row.ts'

/** Rows of the registry itself. */
export const REGISTRY: readonly Row[] = [
  {
    name: 'a closed connection',
    symptoms: () => ({ base: { silence: 'close' } }),
    check: 'reachable',
    says: /^127\.0\.0\.1:\d+ closes the connection without an answer/,
    advice: 'No http server',
  },
  {
    name: 'an answer that breaks off',
    symptoms: () => ({ base: { body: '{}', silence: 'cut' } }),
    check: 'reachable',
    says: /breaks off/,
    advice: 'gave up in mid-answer',
  },
  {
    name: 'no answer',
    symptoms: () => ({ base: { silence: 'hang' } }),
    within: 0.2,
    check: 'reachable',
    says: /^no answer from 127\.0\.0\.1:\d+ within 0\.2 s$/,
    advice: 'another network',
  },
  {
    name: 'a login page',
    symptoms: () => ({ base: HTML }),
    check: 'registry',
    says: 'a page for people instead of an answer (200, "Log in [31m")',
    advice: 'a parked domain',
  },
  {
    name: 'a page that calls itself JSON',
    symptoms: () => ({
      base: { headers: { 'content-type': 'application/json' }, body: '<!doctype html><p>' },
    }),
    check: 'registry',
    says: 'a page for people instead of an answer (200)',
  },
  {
    name: 'a page of Cloudflare Access',
    symptoms: () => ({
      base: { ...HTML, body: '<html><a href="https://a.cloudflareaccess.com/x">' },
    }),
    check: 'registry',
    says: 'a login page of Cloudflare Access instead of an answer (200)',
    advice: 'Access application',
  },
  {
    name: 'a redirect to Cloudflare Access',
    symptoms: () => ({
      base: {
        status: 302,
        headers: { location: 'https://a.cloudflareaccess.com/cdn-cgi/access?meta=canary' },
      },
    }),
    check: 'registry',
    says: 'a login page of Cloudflare Access instead of an answer (302)',
  },
  {
    name: 'a redirect elsewhere',
    symptoms: () => ({
      base: { status: 302, headers: { location: 'https://login.example/?next=canary' } },
    }),
    check: 'registry',
    says: 'a redirect to login.example (302)',
    advice: 'No registry sends this elsewhere',
  },
  {
    name: 'a redirect to nowhere',
    symptoms: () => ({ base: { status: 302, headers: { location: 'mailto:me' } } }),
    check: 'registry',
    says: 'a redirect to nowhere (302)',
  },
  {
    name: 'a redirect to https',
    symptoms: () => ({ base: { status: 301, headers: { location: 'https://127.0.0.1/v2/' } } }),
    check: 'registry',
    says: 'http is sent on to https (301)',
    advice: 'Use https://127.0.0.1,',
  },
  {
    name: 'a challenge for browsers',
    symptoms: () => ({ base: { ...HTML, status: 403, headers: { 'cf-mitigated': 'challenge' } } }),
    check: 'registry',
    says: 'a challenge for browsers instead of an answer (403)',
    advice: 'Bots and WAF',
  },
  ...(
    [
      ['1010', 403, 'browser integrity check'],
      ['1015', 429, 'rate limiting rule'],
      ['1016', 530, 'no origin'],
      ['1020', 403, 'firewall rule'],
      ['1027', 429, 'daily requests'],
      ['1101', 500, 'threw an error'],
      ['1102', 503, 'more CPU or memory'],
      ['1999', 500, 'Look the number up'],
    ] as const
  ).map(([code, status, advice]): Row => ({
    name: `error ${code} of the edge`,
    symptoms: () => ({
      base: {
        status,
        headers: { 'docker-distribution-api-version': undefined },
        body: `error code: ${code}`,
      },
    }),
    check: 'registry',
    says: `error ${code} of Cloudflare (${status})`,
    advice,
  })),
  {
    name: 'no server behind the name',
    symptoms: () => ({
      base: { status: 522, headers: { 'docker-distribution-api-version': undefined } },
    }),
    check: 'registry',
    says: 'Cloudflare finds no server behind the name (522)',
    advice: 'custom domain',
  },
  {
    name: 'a wrong configuration',
    symptoms: () => ({
      base: error(503, 'the registry is not configured; its log says what is wrong'),
    }),
    check: 'registry',
    says: 'its configuration is wrong (503)',
    advice: 'configuration-wrong',
  },
  {
    name: 'another failure',
    symptoms: () => ({ base: error(500, 'internal error') }),
    check: 'registry',
    says: '/v2/ is answered 500: internal error',
    advice: 'wrangler tail',
  },
  {
    name: 'other JSON',
    symptoms: () => ({ base: { headers: { 'docker-distribution-api-version': undefined } } }),
    check: 'registry',
    says: 'no registry: /v2/ is answered 200 by other JSON',
    advice: 'has no path',
  },
  {
    name: 'another server',
    symptoms: () => ({
      base: { status: 404, headers: { 'docker-distribution-api-version': undefined }, body: 'no' },
    }),
    check: 'registry',
    says: 'no registry: /v2/ is answered 404 without Docker-Distribution-API-Version',
  },
  {
    name: 'a cache in front',
    symptoms: () => ({ base: { headers: { 'cf-cache-status': 'HIT' } } }),
    check: 'registry',
    says: 'a cache in front of it answers /v2/',
    advice: 'caches everything',
  },
  {
    name: 'another registry',
    symptoms: () => ({ base: { headers: { 'cache-status': undefined } } }),
    check: 'registry',
    state: 'warning',
    says: 'a registry, but no entrepot',
    advice: 'another program',
  },
  {
    name: 'a proxy that removes the number of a request',
    symptoms: () => ({ base: { headers: { 'x-request-id': undefined } } }),
    check: 'registry',
    state: 'warning',
    says: 'an entrepot, without X-Request-Id',
    advice: 'found in the log',
  },
  {
    name: 'a part of the paths',
    symptoms: () => ({ health: { status: 404, body: 'no' } }),
    check: 'registry',
    state: 'warning',
    says: 'an entrepot, but /healthz does not say ok',
    advice: 'the whole host',
  },
]
