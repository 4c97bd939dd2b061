// end-4, end-5, end-6, end-13 and end-14 as the distribution spec has them, and what the suites of v1.0.1, v1.1.0
// and v1.1.1 assert of them: a blob is uploaded in one piece, in chunks, as a stream, or not at all.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { expectBytes } from '../support/blob.ts'
import {
  contentOf,
  locationOf,
  noise,
  startHosted,
  streamOf,
  withDigest,
} from '../support/hosted-registry.ts'
import type { Content, HostedRegistry } from '../support/hosted-registry.ts'

const UPLOADS = '/v2/hosted/a/blobs/uploads/'
const ALGORITHMS = ['sha256', 'sha512'] as const
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/

let registry: HostedRegistry

beforeEach(() => {
  registry = startHosted()
})

afterEach(async () => {
  await reset()
})

/** The blob is there, behind the `Location` of its 201 too. */
async function expectPushed(answer: Response, { bytes, digest }: Content): Promise<void> {
  expect(answer.status).toBe(201)
  expect(answer.headers.get('docker-content-digest')).toBe(digest)
  expect(answer.headers.get('location')).toBe(`/v2/hosted/a/blobs/${digest}`)
  expectBytes(await bytesOf(await registry.get(locationOf(answer))), bytes)
}

/** A chunk that was taken; where to go on. */
function expectTaken(answer: Response, last: number): string {
  expect(answer.status).toBe(202)
  expect(answer.headers.get('range')).toBe(`0-${last}`)
  return locationOf(answer)
}

async function expectOutOfOrder(answer: Response, last: number): Promise<void> {
  expect(answer.headers.get('range')).toBe(`0-${last}`)
  expect(await refusalOf(answer)).toBe('416 BLOB_UPLOAD_INVALID')
}

describe('end-4a: a session', () => {
  it('is 202 with a Location that holds a UUID, and says what it has and how small chunks may be', async () => {
    const answer = await registry.send('POST', UPLOADS)
    expect(answer.status).toBe(202)
    expect(answer.headers.get('location')).toMatch(UUID)
    expect(answer.headers.get('docker-upload-uuid')).toMatch(UUID)
    expect(answer.headers.get('range')).toBe('0-0')
    expect(Number(answer.headers.get('oci-chunk-min-length'))).toBeGreaterThan(0)
    expect(await answer.text()).toBe('')
  })

  it('takes parameters that others append to its Location', async () => {
    const blob = await noise(10)
    const opened = await registry.open('hosted/a')
    const location = `${opened}${opened.includes('?') ? '&' : '?'}client=canary`
    expectTaken(await registry.patch(location, blob.bytes), 9)
    await expectPushed(await registry.close(location, blob.digest), blob)
  })
})

describe.each(ALGORITHMS)('a blob by %s', (algorithm) => {
  it.each([10, 0])('end-4b: of %i bytes is pushed by one POST', async (size) => {
    const blob = await noise(size, { algorithm })
    const answer = await registry.send('POST', withDigest(UPLOADS, blob.digest), {
      body: blob.bytes,
      headers: { 'Content-Length': String(size) },
    })
    await expectPushed(answer, blob)
  })

  it.each([10, 0])('end-6: of %i bytes is pushed by POST and PUT', async (size) => {
    const blob = await noise(size, { algorithm })
    const location = await registry.open('hosted/a')
    await expectPushed(await registry.close(location, blob.digest, { bytes: blob.bytes }), blob)
  })

  it('end-5: is pushed as one chunk', async () => {
    const blob = await noise(10, { algorithm })
    const location = expectTaken(
      await registry.patch(await registry.open('hosted/a'), blob.bytes, 0),
      9,
    )
    await expectPushed(await registry.close(location, blob.digest), blob)
  })

  it.each([1, 3, 7])('end-5: is pushed in chunks of %i bytes', async (step) => {
    const blob = await noise(7, { algorithm })
    let location = await registry.open('hosted/a')
    for (let first = 0; first < 7; first += step) {
      const bytes = blob.bytes.slice(first, first + step)
      location = expectTaken(
        await registry.patch(location, bytes, first),
        first + bytes.byteLength - 1,
      )
    }
    await expectPushed(await registry.close(location, blob.digest), blob)
  })

  it('end-6: is pushed with its last chunk in the PUT', async () => {
    const blob = await noise(10, { algorithm })
    const opened = await registry.open('hosted/a')
    const location = expectTaken(await registry.patch(opened, blob.bytes.slice(0, 6), 0), 5)
    const last = { bytes: blob.bytes.slice(6), first: 6 }
    await expectPushed(await registry.close(location, blob.digest, last), blob)
  })

  it('end-5: is pushed as a stream without Content-Range and Content-Length', async () => {
    const blob = await noise(10, { algorithm })
    const opened = await registry.open('hosted/a')
    const body = streamOf(blob.bytes.slice(0, 4), blob.bytes.slice(4))
    const location = expectTaken(await registry.send('PATCH', opened, { body }), 9)
    await expectPushed(await registry.close(location, blob.digest), blob)
  })

  it('end-5: that is empty is pushed as a stream', async () => {
    const blob = await noise(0, { algorithm })
    const opened = await registry.open('hosted/a')
    const answer = await registry.patch(opened, blob.bytes)
    expect([answer.status, answer.headers.get('range')]).toEqual([202, '0-0'])
    await expectPushed(await registry.close(locationOf(answer), blob.digest), blob)
  })

  it('is pushed twice at once', async () => {
    const blob = await noise(10, { algorithm })
    const sessions = [await registry.open('hosted/a'), await registry.open('hosted/a')]
    const closing = sessions.map((at) => registry.close(at, blob.digest, { bytes: blob.bytes }))
    for (const answer of await Promise.all(closing)) await expectPushed(answer, blob)
  })

  it.each([
    {
      name: 'end-4b: one POST',
      push: (blob: Content, digest: string) =>
        registry.send('POST', withDigest(UPLOADS, digest), { body: blob.bytes }),
    },
    {
      name: 'end-6: POST and PUT',
      push: async ({ bytes }: Content, digest: string) =>
        registry.close(await registry.open('hosted/a'), digest, { bytes }),
    },
    {
      name: 'end-6: chunks',
      push: async ({ bytes }: Content, digest: string) =>
        registry.close(
          locationOf(await registry.patch(await registry.open('hosted/a'), bytes, 0)),
          digest,
        ),
    },
    {
      name: 'end-6: chunks, the last in the PUT',
      push: async ({ bytes }: Content, digest: string) =>
        registry.close(
          locationOf(await registry.patch(await registry.open('hosted/a'), bytes.slice(0, 4), 0)),
          digest,
          { bytes: bytes.slice(4), first: 4 },
        ),
    },
    {
      name: 'end-6: a stream',
      push: async ({ bytes }: Content, digest: string) =>
        registry.close(
          locationOf(await registry.patch(await registry.open('hosted/a'), bytes)),
          digest,
        ),
    },
  ])('$name: with another digest is 400, and nothing is there', async ({ push }) => {
    const { digest } = await noise(10, { algorithm, seed: 2 })
    const answer = await push(await noise(10, { algorithm }), digest)
    expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
    for (const blob of [digest, (await noise(10, { algorithm })).digest]) {
      expect((await registry.head(`/v2/hosted/a/blobs/${blob}`)).status).toBe(404)
    }
  })
})

describe('end-5: a chunk out of order', () => {
  it('that comes first but does not start at 0 is 416, and the session goes on', async () => {
    const blob = await noise(10)
    const location = await registry.open('hosted/a')
    await expectOutOfOrder(await registry.patch(location, blob.bytes.slice(5), 5), 0)
    expectTaken(await registry.patch(location, blob.bytes, 0), 9)
    await expectPushed(await registry.close(location, blob.digest), blob)
  })

  it.each([
    { name: 'that was taken before', slice: [0, 4] },
    { name: 'that leaves a gap', slice: [6, 10] },
    { name: 'that overlaps', slice: [3, 10] },
  ])('$name is 416 with the true Range, and the session goes on', async ({ slice: [from, to] }) => {
    const blob = await noise(10)
    const opened = await registry.open('hosted/a')
    const location = expectTaken(await registry.patch(opened, blob.bytes.slice(0, 4), 0), 3)
    await expectOutOfOrder(await registry.patch(location, blob.bytes.slice(from, to), from), 3)
    expectTaken(await registry.patch(location, blob.bytes.slice(4), 4), 9)
    await expectPushed(await registry.close(location, blob.digest), blob)
  })

  it('sent to the older Location is 416, and GET there is 204 with what is there', async () => {
    const blob = await noise(10)
    const opened = await registry.open('hosted/a')
    expectTaken(await registry.patch(opened, blob.bytes.slice(0, 4), 0), 3)
    await expectOutOfOrder(await registry.patch(opened, blob.bytes.slice(0, 4), 0), 3)
    const status = await registry.get(opened)
    expect([status.status, status.headers.get('range')]).toEqual([204, '0-3'])
    expectTaken(await registry.patch(locationOf(status), blob.bytes.slice(4), 4), 9)
    await expectPushed(await registry.close(opened, blob.digest), blob)
  })

  it('in the PUT is 416, and the session goes on', async () => {
    const blob = await noise(10)
    const opened = await registry.open('hosted/a')
    const location = expectTaken(await registry.patch(opened, blob.bytes.slice(0, 4), 0), 3)
    const wrong = { bytes: blob.bytes.slice(6), first: 6 }
    await expectOutOfOrder(await registry.close(location, blob.digest, wrong), 3)
    const right = { bytes: blob.bytes.slice(4), first: 4 }
    await expectPushed(await registry.close(location, blob.digest, right), blob)
  })
})

describe('end-5: a chunk that contradicts itself', () => {
  it.each([
    { name: 'whose Content-Range is wider than its Content-Length', range: '0-8', length: 8 },
    { name: 'whose Content-Range is narrower than its Content-Length', range: '0-3', length: 8 },
  ])('$name is 400', async ({ range, length }) => {
    const { bytes } = await noise(length)
    const answer = await registry.send('PATCH', await registry.open('hosted/a'), {
      body: bytes,
      headers: { 'Content-Range': range, 'Content-Length': String(length) },
    })
    expect(await refusalOf(answer)).toBe('400 SIZE_INVALID')
  })

  it.each(['0..7', 'bytes', 'lines 0-7', '-7', '0-'])('Content-Range: %s is 400', async (range) => {
    const { bytes } = await noise(8)
    const answer = await registry.send('PATCH', await registry.open('hosted/a'), {
      body: bytes,
      headers: { 'Content-Range': range, 'Content-Length': '8' },
    })
    expect(await refusalOf(answer)).toBe('400 BLOB_UPLOAD_INVALID')
  })
})

describe('end-13: the status of a session', () => {
  it('is 204 with its Location and Range', async () => {
    const opened = await registry.open('hosted/a')
    for (const [sent, range] of [
      [0, '0-0'],
      [4, '0-3'],
    ] as const) {
      if (sent > 0) await registry.patch(opened, (await noise(sent)).bytes, 0)
      const answer = await registry.get(opened)
      expect([answer.status, answer.headers.get('range')]).toEqual([204, range])
      expect(answer.headers.get('location')).toMatch(UUID)
    }
  })

  it('is told at a Location that still has a digest', async () => {
    const { bytes, digest } = await noise(4)
    const opened = await registry.open('hosted/a')
    await registry.patch(opened, bytes, 0)
    const answer = await registry.get(withDigest(opened, digest))
    expect([answer.status, answer.headers.get('range')]).toEqual([204, '0-3'])
    await expectPushed(await registry.close(locationOf(answer), digest), { bytes, digest })
  })
})

describe('a digest that no blob can have', () => {
  it.each([
    {
      name: 'end-4b: POST',
      send: (digest: string) =>
        registry.send('POST', withDigest(UPLOADS, digest), { body: new Uint8Array(3) }),
    },
    {
      name: 'end-6: PUT',
      send: async (digest: string) =>
        registry.close(await registry.open('hosted/a'), digest, { bytes: new Uint8Array(3) }),
    },
  ])('$name: 400', async ({ send }) => {
    for (const digest of ['sha256:totallywrong', `sha384:${'0'.repeat(96)}`, 'latest', '']) {
      expect(await refusalOf(await send(digest))).toBe('400 DIGEST_INVALID')
    }
  })

  it('end-6: PUT without any: 400', async () => {
    const answer = await registry.send('PUT', await registry.open('hosted/a'))
    expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
  })
})

describe('end-4c: digest-algorithm', () => {
  it.each(ALGORITHMS)('%s opens a session', async (algorithm) => {
    const blob = await noise(10, { algorithm })
    const answer = await registry.send('POST', `${UPLOADS}?digest-algorithm=${algorithm}`)
    expect(answer.status).toBe(202)
    await expectPushed(
      await registry.close(locationOf(answer), blob.digest, { bytes: blob.bytes }),
      blob,
    )
  })

  it.each(['md5', 'SHA256', 'sha384', ''])('"%s" is 400', async (algorithm) => {
    const answer = await registry.send('POST', `${UPLOADS}?digest-algorithm=${algorithm}`)
    expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
  })
})

/** Every request that a session answers. */
const ASKED = [
  { name: 'GET', ask: (at: string) => registry.get(at) },
  { name: 'PATCH', ask: (at: string) => registry.patch(at, new Uint8Array(3), 0) },
  {
    name: 'PUT',
    ask: async (at: string) => {
      const { bytes, digest } = await contentOf(new Uint8Array(3))
      return registry.close(at, digest, { bytes })
    },
  },
  { name: 'DELETE', ask: (at: string) => registry.send('DELETE', at) },
] as const

describe.each(ASKED)('404 is what $name gets', ({ ask }) => {
  it.each([
    { name: 'a session that never was', at: async () => `${UPLOADS}${crypto.randomUUID()}` },
    { name: 'what is no session’s name', at: async () => `${UPLOADS}canary` },
    {
      name: 'the session of another repository',
      at: async () => (await registry.open('hosted/a')).replace('hosted/a', 'hosted/b'),
    },
    {
      name: 'a session that was cancelled',
      at: async () => {
        const location = await registry.open('hosted/a')
        await registry.patch(location, (await noise(10)).bytes, 0)
        expect((await registry.send('DELETE', location)).status).toBe(204)
        return location
      },
    },
  ])('from $name', async ({ at }) => {
    expect(await refusalOf(await ask(await at()))).toBe('404 BLOB_UPLOAD_UNKNOWN')
  })
})

describe('how far a session is', () => {
  // dockerd writes into the manifest what the last `Range` says.
  it.each([1, 700_000, 3 * 1024 ** 2, 6_293_528])(
    'end-5: %i bytes in one PATCH, and once more, are told exactly',
    async (size) => {
      const bytes = new Uint8Array(size)
      const location = await registry.open('hosted/a')
      expectTaken(await registry.patch(location, bytes), size - 1)
      expectTaken(await registry.patch(location, bytes, size), 2 * size - 1)
      const status = await registry.get(location)
      expect(status.headers.get('range')).toBe(`0-${2 * size - 1}`)
    },
  )
})

describe('a session that has ended well', () => {
  it.each(ASKED.filter(({ name }) => name !== 'PUT'))('is 404 to $name', async ({ ask }) => {
    const blob = await noise(10)
    const location = await registry.open('hosted/a')
    await expectPushed(await registry.close(location, blob.digest, { bytes: blob.bytes }), blob)
    expect(await refusalOf(await ask(location))).toBe('404 BLOB_UPLOAD_UNKNOWN')
    expect((await registry.get(`/v2/hosted/a/blobs/${blob.digest}`)).status).toBe(200)
  })

  it('says so again to a client that missed it, and becomes no other blob', async () => {
    const blob = await noise(10)
    const other = await noise(10, { seed: 2 })
    const location = await registry.open('hosted/a')
    for (const bytes of [blob.bytes, blob.bytes, undefined]) {
      await expectPushed(await registry.close(location, blob.digest, bytes && { bytes }), blob)
    }
    const answer = await registry.close(location, other.digest, { bytes: other.bytes })
    expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
  })
})

it('end-14: a cancelled session leaves no blob, and other sessions alone', async () => {
  const blob = await noise(10)
  const [first, second] = [await registry.open('hosted/a'), await registry.open('hosted/a')]
  for (const location of [first, second]) await registry.patch(location, blob.bytes, 0)
  const cancelled = await registry.send('DELETE', first)
  expect([cancelled.status, await cancelled.text()]).toEqual([204, ''])
  expect((await registry.head(`/v2/hosted/a/blobs/${blob.digest}`)).status).toBe(404)
  await expectPushed(await registry.close(second, blob.digest), blob)
})
