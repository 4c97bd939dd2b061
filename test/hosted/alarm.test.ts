// An alarm is never lost, also not to a configuration with which nothing can be opened: what throws is tried
// again a few times by the platform, and then never more.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, expect, it, vi } from 'vitest'
import {
  BlobClaims,
  BlobFill,
  HostedLedger,
  UploadSession,
  UpstreamGate,
} from '../../src/objects.ts'
import { repository } from '../support/parsed.ts'
import { store } from '../support/hosted-objects.ts'

afterEach(() => {
  vi.restoreAllMocks()
  return reset()
})

const FOO = repository('hosted/foo')
const UPLOAD = { repository: FOO, session: 'session' }
const MINUTE = 60_000

/** Objects with rows that their alarm has to see to. */
const OBJECTS = [
  {
    name: 'BlobClaims',
    stub: async () => {
      const { content } = await store()
      const stub = env.BLOB_CLAIMS.getByName('sha256:a')
      await stub.adopt(content)
      return stub
    },
    make: (state: DurableObjectState, wrong: Env) => new BlobClaims(state, wrong),
  },
  {
    name: 'HostedLedger',
    stub: async () => {
      const { digest, content } = await store()
      await env.BLOB_CLAIMS.getByName(digest).adopt(content)
      const stub = env.HOSTED_LEDGER.getByName(FOO)
      await stub.hold(FOO, digest)
      return stub
    },
    make: (state: DurableObjectState, wrong: Env) => new HostedLedger(state, wrong),
  },
  {
    name: 'UploadSession',
    stub: async () => {
      const stub = env.UPLOAD_SESSION.getByName('upload')
      await stub.open(UPLOAD)
      return stub
    },
    make: (state: DurableObjectState, wrong: Env) => new UploadSession(state, wrong),
  },
  {
    name: 'BlobFill',
    stub: async () => env.BLOB_FILL.getByName('fill'),
    make: (state: DurableObjectState, wrong: Env) => new BlobFill(state, wrong),
  },
  {
    name: 'UpstreamGate',
    stub: async () => env.UPSTREAM_GATE.getByName('gate'),
    make: (state: DurableObjectState, wrong: Env) => new UpstreamGate(state, wrong),
  },
]

it.each(OBJECTS)(
  '$name comes back in a minute under a wrong configuration',
  async ({ stub, make }) => {
    const lines = vi.spyOn(console, 'log').mockImplementation(() => undefined)
    await runInDurableObject(await stub(), async (_, state) => {
      await state.storage.deleteAlarm()
      const before = Date.now()
      await make(state, { ...env, HOSTED: 42 } as Env).alarm()
      const at = (await state.storage.getAlarm()) ?? 0
      expect(at).toBeGreaterThanOrEqual(before + MINUTE)
      expect(at).toBeLessThanOrEqual(Date.now() + MINUTE)
    })
    expect(String(lines.mock.calls)).toContain('alarm-failed')
  },
)
