// end-11 over HTTP: from where a blob may be mounted. What this caller may not pull is not tried, and looks like
// what does not exist.

import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import { parseDigest } from '../../src/oci/digest.ts'
import { refusalOf } from '../support/answer.ts'
import { noise, OPEN, startHosted } from '../support/hosted-registry.ts'
import type { Content } from '../support/hosted-registry.ts'
import { isolate } from '../support/isolate.ts'

const ABSENT = parseDigest(`sha256:${'0'.repeat(64)}`) ?? expect.fail()
const TARGET = '/v2/hosted/target'

afterEach(() => reset())

/** Pushes a blob to each of these repositories, whoever may see them later. */
async function pushTo(...repositories: readonly string[]): Promise<Content> {
  const blob = await noise(100)
  for (const repository of repositories) await startHosted().pushBlob(repository, blob)
  return blob
}

function granting(...readable: readonly string[]) {
  return {
    ...OPEN,
    ANONYMOUS: [
      { repositories: ['hosted/target'], actions: ['pull', 'push'] },
      { repositories: ['hosted/**'], actions: ['push'] },
      ...(readable.length > 0 ? [{ repositories: readable, actions: ['pull'] }] : []),
    ],
  }
}

function mount(digest: string, from?: string, settings: object = OPEN): Promise<Response> {
  const source = from === undefined ? '' : `&from=${encodeURIComponent(from)}`
  const path = `${TARGET}/blobs/uploads/?mount=${encodeURIComponent(digest)}${source}`
  return isolate({ ...settings }).fetch(path, { method: 'POST' })
}

async function isThere(digest: string): Promise<boolean> {
  return (await startHosted().send('HEAD', `${TARGET}/blobs/${digest}`)).status === 200
}

describe('a mount', () => {
  it.each([
    { name: 'from a repository that has it', from: 'hosted/source' },
    { name: 'from anywhere', from: undefined },
    { name: 'from a mirror, which names no source', from: 'docker.io/library/nginx' },
    { name: 'from a name without a hint, which is a mirror', from: 'library/nginx' },
    { name: 'from an unknown host', from: 'evil.test/a' },
    { name: 'from no name at all', from: '' },
    { name: 'from nonsense', from: '../hosted/source\r\n' },
  ])('$name: 201, and it can be pulled', async ({ from }) => {
    const { digest, bytes } = await pushTo('hosted/source')
    const answer = await mount(digest, from)
    expect(answer.status).toBe(201)
    expect(answer.headers.get('location')).toBe(`${TARGET}/blobs/${digest}`)
    expect(answer.headers.get('docker-content-digest')).toBe(digest)
    expect(answer.headers.get('content-length')).toBe('0')
    expect(answer.headers.get('docker-upload-uuid')).toBeNull()
    const read = await startHosted().send('GET', `${TARGET}/blobs/${digest}`)
    expect(await read.bytes()).toEqual(bytes)
  })

  it.each([
    { name: 'a repository that has not got it', from: 'hosted/empty' },
    { name: 'a repository below the one that has', from: 'hosted/source/x' },
    { name: 'the target itself', from: 'hosted/target' },
  ])('from $name: 202, and nothing is mounted', async ({ from }) => {
    const { digest } = await pushTo('hosted/source')
    const answer = await mount(digest, from)
    expect(answer.status).toBe(202)
    expect(answer.headers.get('location')).toMatch(
      /^\/v2\/hosted\/target\/blobs\/uploads\/[0-9a-f-]{45}$/,
    )
    expect(await isThere(digest)).toBe(false)
  })

  it.each([
    { name: 'denied by name', from: 'hosted/secret', readable: [] },
    {
      name: 'denied by name, where others may be read',
      from: 'hosted/secret',
      readable: ['hosted/open'],
    },
    { name: 'denied anywhere', from: undefined, readable: ['hosted/open'] },
    {
      name: 'reached by a name that the target’s right covers',
      from: 'hosted/target/../secret',
      readable: [],
    },
  ])('of what this caller may not pull, $name, is that of what does not exist', async (row) => {
    const { from, readable } = row
    const { digest } = await pushTo('hosted/secret')
    const settings = granting(...readable)
    const told = async (answer: Response) => [
      answer.status,
      [...answer.headers.keys()].toSorted(),
      await answer.text(),
    ]
    const denied = await told(await mount(digest, from, settings))
    expect(denied[0]).toBe(202)
    expect(denied).toEqual(await told(await mount(ABSENT, from, settings)))
    expect(await isThere(digest)).toBe(false)
    // The right to pull is all that was missing.
    expect((await mount(digest, from, granting('hosted/secret'))).status).toBe(201)
  })

  it('needs the right to push here', async () => {
    const { digest } = await pushTo('hosted/source')
    const ANONYMOUS = [{ repositories: ['**'], actions: ['pull', 'delete'] }]
    expect(await refusalOf(await mount(digest, 'hosted/source', { ...OPEN, ANONYMOUS }))).toBe(
      '401 UNAUTHORIZED',
    )
  })
})

describe('an anonymous mount', () => {
  /** Objects of a blob that is in these repositories, none of which has it any more; what they were asked. */
  function holdersOnly(holders: readonly string[]) {
    const tried: string[] = []
    const ledger = (name: string) => ({
      blob: async () => void tried.push(name),
      hold: async () => ({ ok: false, reason: 'absent' }),
    })
    const bindings = {
      BLOB_CLAIMS: { getByName: () => ({ holders: async () => holders }) },
      HOSTED_LEDGER: { getByName: ledger },
    }
    return { bindings, tried }
  }

  it('tries 20 repositories at most, of those that may be pulled', async () => {
    const holders = Array.from(
      { length: 100 },
      (_, n) => `hosted/${n % 2 ? 'open' : 'secret'}/${100 + n}`,
    )
    const { bindings, tried } = holdersOnly(holders)
    const answer = await mount(ABSENT, undefined, { ...granting('hosted/open/**'), ...bindings })
    expect(answer.status).toBe(202)
    expect(tried).toEqual(holders.filter((name) => name.includes('open')).slice(0, 20))
  })

  it('tries nothing that is no hosted repository any more', async () => {
    const { bindings, tried } = holdersOnly([
      'former/a',
      'docker.io/library/a',
      'Not a name',
      'hosted/a',
    ])
    expect((await mount(ABSENT, undefined, { ...OPEN, ...bindings })).status).toBe(202)
    expect(tried).toEqual(['hosted/a'])
  })
})
