// end-2, end-10 and end-11 as the distribution spec has them, and what the suites of v1.0.1, v1.1.0 and v1.1.1
// assert of them: a hosted blob is pulled, deleted and mounted.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { expectBytes } from '../support/blob.ts'
import { OPEN, contentOf, locationOf, noise, startHosted } from '../support/hosted-registry.ts'
import type { Content, HostedRegistry } from '../support/hosted-registry.ts'

const ALGORITHMS = ['sha256', 'sha512'] as const
const ABSENT = `sha256:${'0'.repeat(64)}`
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/

let registry: HostedRegistry

beforeEach(() => {
  registry = startHosted()
})

afterEach(async () => {
  await reset()
})

describe.each(ALGORITHMS)('end-2: a blob by %s', (algorithm) => {
  it.each([
    { name: 'of 2048 bytes', size: 2048 },
    { name: 'that is empty', size: 0 },
  ])('$name is pulled with its bytes, digest and length', async ({ size }) => {
    const blob = await noise(size, { algorithm })
    await registry.pushBlob('hosted/a', blob)
    const path = `/v2/hosted/a/blobs/${blob.digest}`
    for (const method of ['GET', 'HEAD']) {
      const answer = await registry.send(method, path)
      expect(answer.status).toBe(200)
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'docker-content-digest': blob.digest,
        'content-length': String(size),
        'content-type': 'application/octet-stream',
        'accept-ranges': 'bytes',
      })
      if (method === 'HEAD') expect(answer.body).toBeNull()
      else expectBytes(await bytesOf(answer), blob.bytes)
    }
  })

  it.each([
    { range: 'bytes=500-1499', want: [500, 1500] },
    { range: 'bytes=500-', want: [500, 2048] },
    { range: 'bytes=-500', want: [1548, 2048] },
    { range: 'bytes=2000-5000', want: [2000, 2048] },
    { range: 'bytes=500-0', want: undefined },
    { range: 'bytes=5000-10000', want: undefined },
  ])('of 2048 bytes is cut: $range', async ({ range, want }) => {
    const blob = await noise(2048, { algorithm })
    await registry.pushBlob('hosted/a', blob)
    const answer = await registry.get(`/v2/hosted/a/blobs/${blob.digest}`, { Range: range })
    if (want === undefined) {
      expect(answer.headers.get('content-range')).toBe('bytes */2048')
      expect(await refusalOf(answer)).toBe('416 SIZE_INVALID')
      return
    }
    const [first = 0, end = 0] = want
    expect(answer.status).toBe(206)
    expect(answer.headers.get('content-range')).toBe(`bytes ${first}-${end - 1}/2048`)
    expect(answer.headers.get('content-length')).toBe(String(end - first))
    expectBytes(await bytesOf(answer), blob.bytes.subarray(first, end))
  })
})

describe('end-2: a blob that is not there', () => {
  it.each([
    { name: 'in a repository that has others', path: `hosted/a/blobs/${ABSENT}` },
    { name: 'in a repository that nobody pushed to', path: `hosted/nobody/blobs/${ABSENT}` },
  ])('$name is 404 to GET and HEAD', async ({ path }) => {
    await registry.pushBlob('hosted/a', await noise(10))
    expect(await refusalOf(await registry.get(`/v2/${path}`))).toBe('404 BLOB_UNKNOWN')
    const head = await registry.head(`/v2/${path}`)
    expect([head.status, head.body]).toEqual([404, null])
  })

  it('in this repository is 404, whoever else has it', async () => {
    const blob = await noise(10)
    await registry.pushBlob('hosted/a', blob)
    await registry.pushBlob('hosted/b', await noise(10, { seed: 2 }))
    const path = `/v2/hosted/b/blobs/${blob.digest}`
    expect(await refusalOf(await registry.get(path))).toBe('404 BLOB_UNKNOWN')
  })

  it('under the other algorithm of the same bytes is 404', async () => {
    await registry.pushBlob('hosted/a', await noise(10))
    const { digest } = await noise(10, { algorithm: 'sha512' })
    expect((await registry.get(`/v2/hosted/a/blobs/${digest}`)).status).toBe(404)
  })

  it.each(['GET', 'DELETE'])('because its digest is none is 400 to %s', async (method) => {
    for (const digest of ['sha256:totallywrong', `sha384:${'0'.repeat(96)}`, 'latest']) {
      const answer = await registry.send(method, `/v2/hosted/a/blobs/${digest}`)
      expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
    }
  })
})

describe.each(ALGORITHMS)('end-10: a deleted blob by %s', (algorithm) => {
  it('is gone at once, and only from its repository', async () => {
    const blob = await noise(100, { algorithm })
    for (const name of ['hosted/a', 'hosted/b']) await registry.pushBlob(name, blob)
    const path = `/v2/hosted/a/blobs/${blob.digest}`
    expect((await registry.send('DELETE', path)).status).toBe(202)
    expect((await registry.head(path)).status).toBe(404)
    expect(await refusalOf(await registry.get(path))).toBe('404 BLOB_UNKNOWN')
    expect(await refusalOf(await registry.send('DELETE', path))).toBe('404 BLOB_UNKNOWN')
    expect((await registry.get(`/v2/hosted/b/blobs/${blob.digest}`)).status).toBe(200)
  })

  it('may be pushed again', async () => {
    const blob = await noise(100, { algorithm })
    const path = `/v2/hosted/a/blobs/${blob.digest}`
    await registry.pushBlob('hosted/a', blob)
    await registry.send('DELETE', path)
    await registry.pushBlob('hosted/a', blob)
    expectBytes(await bytesOf(await registry.get(path)), blob.bytes)
  })
})

it.each(['hosted/a', 'hosted/nobody'])(
  'end-10: %s has nothing of that digest: 404',
  async (name) => {
    await registry.pushBlob('hosted/a', await noise(10))
    const answer = await registry.send('DELETE', `/v2/${name}/blobs/${ABSENT}`)
    expect(await refusalOf(answer)).toBe('404 BLOB_UNKNOWN')
  },
)

function mount(digest: string, from?: string, into = 'hosted/b'): Promise<Response> {
  const query = new URLSearchParams({ mount: digest, ...(from !== undefined && { from }) })
  return registry.send('POST', `/v2/${into}/blobs/uploads/?${query.toString()}`)
}

/** No mount, but a session that takes the blob. */
async function expectSession(answer: Response, blob: Content): Promise<void> {
  expect(answer.status).toBe(202)
  expect(answer.headers.get('location')).toMatch(UUID)
  const closed = await registry.close(locationOf(answer), blob.digest, { bytes: blob.bytes })
  expect(closed.status).toBe(201)
}

describe.each(ALGORITHMS)('end-11: a mount by %s', (algorithm) => {
  it.each([
    { name: 'from the repository that has it', from: 'hosted/a' },
    { name: 'from no repository in particular', from: undefined },
  ])('$name: 201, and exactly where it lies now', async ({ from }) => {
    const blob = await noise(100, { algorithm })
    await registry.pushBlob('hosted/a', blob)
    const answer = await mount(blob.digest, from)
    expect(answer.status).toBe(201)
    expect(answer.headers.get('location')).toBe(`/v2/hosted/b/blobs/${blob.digest}`)
    expect(answer.headers.get('docker-content-digest')).toBe(blob.digest)
    await registry.send('DELETE', `/v2/hosted/a/blobs/${blob.digest}`)
    expectBytes(await bytesOf(await registry.get(locationOf(answer))), blob.bytes)
  })

  it.each([
    { name: 'from a repository that lacks it', from: 'hosted/a' },
    { name: 'from a repository that nobody pushed to', from: 'hosted/nobody' },
    { name: 'from a name that is none', from: 'Hosted//A' },
    { name: 'of a digest that nobody has', from: undefined },
  ])('$name: 202, and the session takes it', async ({ from }) => {
    await registry.pushBlob('hosted/a', await noise(10, { seed: 2 }))
    const blob = await noise(100, { algorithm })
    await expectSession(await mount(blob.digest, from), blob)
  })
})

it('end-11: a digest that is none is 400', async () => {
  const answer = await mount('sha256:totallywrong', 'hosted/a')
  expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
})

it.each(['hosted/closed', undefined])(
  'end-11: a mount from %s never tells of what the caller may not pull',
  async (from) => {
    const blob = await noise(100)
    await registry.pushBlob('hosted/closed', blob)
    registry = startHosted({
      ...OPEN,
      ANONYMOUS: [{ repositories: ['hosted/b'], actions: ['pull', 'push'] }],
    })
    const absent = await contentOf(new Uint8Array(3))
    const answers = [await mount(blob.digest, from), await mount(absent.digest, from)]
    for (const answer of answers) {
      for (const name of ['location', 'docker-upload-uuid', 'x-request-id', 'date']) {
        answer.headers.delete(name)
      }
    }
    const [held, nowhere] = answers.map(({ status, headers }) => [status, ...headers])
    expect(held).toEqual(nowhere)
    expect((await registry.get(`/v2/hosted/b/blobs/${blob.digest}`)).status).toBe(404)
  },
)
