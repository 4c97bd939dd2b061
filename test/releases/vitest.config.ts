// Writes down the state of this release (dump.test.ts): no part of `npm test`, since it writes a file.

import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'

const PASSWORD = 'canary-password'

export default defineConfig({
  root: new URL('../..', import.meta.url).pathname,
  plugins: [
    cloudflareTest({
      wrangler: { configPath: './wrangler.toml' },
      miniflare: {
        bindings: {
          UPSTREAMS: {
            'one.test': { url: 'https://one.test', private: false },
            'two.test': { url: 'https://two.test', private: false },
            'budget.test': { url: 'https://budget.test', private: false },
          },
          UPSTREAM_CREDENTIALS: JSON.stringify({
            'budget.test': [{ username: 'mirror', password: PASSWORD }],
          }),
        },
      },
    }),
  ],
  test: { include: ['test/releases/dump.test.ts'], testTimeout: 60_000 },
})
