// Settings that are accepted but may surprise: the log says so once for each isolate, and never what is secret.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { parseConfig, settingsOf } from '../../src/config.ts'
import { accounts, basic, granting } from '../support/accounts.ts'
import { goOnline } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const EVENT = 'configuration-surprising'

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  goOnline({})
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** Three sentences worth, and secrets beside them. */
async function settings(): Promise<Readonly<Record<string, unknown>>> {
  return {
    HOSTED: ['hosted/**'],
    ANONYMOUS: [granting('hosted/a', 'push'), granting('private.test/**', 'pull')],
    S3_ENDPOINT: 'https://storage.test',
    S3_ACCESS_KEY_ID: 'canary-key',
    S3_SECRET_ACCESS_KEY: 'canary-secret',
    S3_BUCKET: '',
    ...(await accounts({ ci: [granting('hosted/**', 'pull')] })),
  }
}

async function askAll({ get, head, fetch }: Isolate): Promise<void> {
  const authorization = basic('ci')
  await Promise.all([
    get('/v2/'),
    get('/healthz'),
    get('/token', { authorization }),
    get('/v2/hosted/a/tags/list', { authorization }),
    head('/v2/hosted/a/manifests/v1', { authorization }),
    fetch('/v2/hosted/a/blobs/uploads/', { method: 'POST' }),
    get('/nothing'),
  ])
}

describe('settings that may surprise', () => {
  it('are told with the first request of an isolate, each once', async () => {
    const worker = isolate(await settings())
    await askAll(worker)
    await askAll(worker)
    const told = worker.lines(EVENT)
    expect(told).toEqual([
      { event: EVENT, warning: 'ANONYMOUS lets anyone push hosted/a' },
      {
        event: EVENT,
        warning:
          'ANONYMOUS lets anyone pull private.test/**, which may hold private repositories of private.test',
      },
      {
        event: EVENT,
        warning: 'blobs are streamed, not redirected: S3_BUCKET not set',
      },
    ])
    expect(worker.lines().slice(0, 3)).toEqual(told)
  })

  it('are told by each isolate', async () => {
    const given = await settings()
    for (const worker of [isolate(given), isolate(given)]) {
      await askAll(worker)
      expect(worker.lines(EVENT)).toHaveLength(3)
    }
  })

  it('are what npm start greets with', async () => {
    const given = await settings()
    const worker = isolate(given)
    await askAll(worker)
    const { warnings } = parseConfig(settingsOf({ ...env, ...given }))
    expect(worker.lines(EVENT).map(({ warning }) => warning)).toEqual(warnings)
  })

  it('are told without a secret', async () => {
    const worker = isolate(await settings())
    await askAll(worker)
    expect(JSON.stringify(worker.lines(EVENT))).not.toMatch(/canary|storage\.test|[0-9a-f]{64}/)
    expect(JSON.stringify(worker.lines())).not.toContain('canary')
  })

  it('are not told where nothing surprises', async () => {
    const worker = isolate({ HOSTED: ['hosted/**'] })
    await askAll(worker)
    expect(worker.lines(EVENT)).toEqual([])
  })

  it('are not told of a configuration that is wrong, which is told by every request', async () => {
    const worker = isolate({ ...(await settings()), PUBLIC_URL: 'canary' })
    await askAll(worker)
    expect(worker.lines(EVENT)).toEqual([])
    expect(worker.lines('configuration-wrong')).toHaveLength(7)
  })
})
