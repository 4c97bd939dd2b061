// Two projects: pure rooms and the command line in plain Node, the rest in workerd with real R2, KV and
// Durable Objects. Nothing in workerd reaches the internet: a test gives its own `fetch`.

import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          environment: 'node',
          include: ['test/{oci,auth,cli}/**/*.test.ts', 'test/*.test.ts'],
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './wrangler.toml' },
            miniflare: {
              // A developer's `.dev.vars` must not decide what a test sees.
              bindings: { UPSTREAM_CREDENTIALS: '{}' },
              outboundService: (request) => {
                throw new Error(`a test asked for ${request.url} without giving its own fetch`)
              },
            },
          }),
        ],
        test: {
          name: 'workers',
          include: ['test/{storage,upstream,mirror,hosted,registry,http}/**/*.test.ts'],
        },
      },
    ],
  },
})
