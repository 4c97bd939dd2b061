// Two projects: pure rooms and the command line in plain Node, the rest in workerd with real R2, KV and
// Durable Objects. Nothing in workerd reaches the internet: a test gives its own `fetch`.

import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'

/**
 * The upstreams that workerd tests share: objects see this table, whatever a test gives the Worker. None of
 * them exists; a test puts its own network in the place of `fetch`.
 */
const UPSTREAMS = {
  'docker.io': {},
  'ghcr.io': {},
  // Open to anyone, asked how it authenticates, the default rules.
  'one.test': { url: 'https://one.test', private: false },
  'two.test': { url: 'https://two.test', private: false },
  'port.test:5000': { url: 'https://port.test:5000', private: false },
  'private.test': { url: 'https://private.test', private: true },
  'part.test': { url: 'https://part.test', private: ['closed/**'] },
  'limited.test': {
    url: 'https://limited.test',
    private: false,
    allow: ['open/**'],
    deny: ['open/secret'],
  },
  // With a credential, whose password no log and no answer may show.
  'login.test': { url: 'https://login.test', private: ['closed/**'] },
  'ttl.test': {
    url: 'https://ttl.test',
    private: false,
    tagTTL: { 'slow/**': '1h', 'quick/**:v*': '10s', '**:pinned-*': '1d' },
    maxStale: '2h',
  },
  // With two other endpoints, and nobody's login.
  'backed.test': {
    url: 'https://backed.test',
    private: false,
    maxStale: '2h',
    alternates: ['https://second.test', 'https://third.test'],
  },
  // With a login that its token service can refuse, and another endpoint with a login of its own.
  'vault.test': { url: 'https://vault.test', private: true, alternates: ['https://second.test'] },
  // With a login, hence a budget that is kept.
  'budget.test': {
    url: 'https://budget.test',
    private: false,
    tagTTL: { 'slow/**': '1d', '**': '10s' },
    maxStale: '2d',
  },
}

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          environment: 'node',
          // Starting the registry takes a second, on a busy machine several.
          testTimeout: 30_000,
          hookTimeout: 30_000,
          include: ['test/{oci,auth,meter,cli,hosted-model}/**/*.test.ts', 'test/*.test.ts'],
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './wrangler.toml' },
            miniflare: {
              // A developer's `.dev.vars` must not decide what a test sees.
              bindings: {
                UPSTREAMS,
                UPSTREAM_CREDENTIALS: JSON.stringify({
                  'login.test': [{ username: 'mirror', password: 'canary-password' }],
                  'vault.test': [{ username: 'mirror', password: 'canary-password' }],
                  'budget.test': [{ username: 'mirror', password: 'canary-password' }],
                }),
              },
              outboundService: (request) => {
                throw new Error(`a test asked for ${request.url} without giving its own fetch`)
              },
            },
          }),
        ],
        test: {
          name: 'workers',
          // Forty clients and megabytes of blobs take a second, on a busy machine many.
          testTimeout: 30_000,
          hookTimeout: 30_000,
          include: ['test/{storage,upstream,mirror,hosted,registry,jobs,http}/**/*.test.ts'],
        },
      },
    ],
  },
})
