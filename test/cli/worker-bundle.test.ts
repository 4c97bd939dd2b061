// The size of what is deployed: the whole Worker is loaded whenever an isolate starts.

import { gzipSync } from 'node:zlib'

import { build } from 'esbuild'
import { describe, expect, it } from 'vitest'

/** docs/performance.md, "Start-up and size", says what is in it. */
const LIMIT = 200 * 1024

describe('the Worker, minified as wrangler.toml says', () => {
  it('is at most 200 KiB with gzip', async () => {
    const { outputFiles } = await build({
      entryPoints: ['src/worker.ts'],
      bundle: true,
      minify: true,
      write: false,
      format: 'esm',
      target: 'es2024',
      conditions: ['workerd', 'worker', 'browser'],
      external: ['cloudflare:*'],
      logLevel: 'silent',
    })
    const [{ contents } = expect.fail('no bundle')] = outputFiles
    expect(gzipSync(contents).byteLength).toBeLessThanOrEqual(LIMIT)
  })
})
