// end-7 and end-9 over HTTP: what a pushed manifest must be, what the answer says, and how it goes again. What the
// repository makes of it is in `test/hosted/`.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { refusalOf } from '../support/answer.ts'
import {
  CONFIG,
  contentOf,
  descriptorOf,
  encode,
  indexOf,
  LAYER,
  manifestOf,
  noise,
  OCI_INDEX,
  OCI_MANIFEST,
  OPEN,
  startHosted,
} from '../support/hosted-registry.ts'

const STEM = '/v2/hosted/app'
const MAX = 4 * 1024 * 1024
const ABSENT = `sha256:${'0'.repeat(64)}`
const EMPTY_INDEX = indexOf([])

afterEach(() => reset())

/** Every key of storage that a manifest could have made. */
async function stored(): Promise<string[]> {
  const { objects } = await env.BLOBS.list()
  return objects.map(({ key }) => key)
}

/** An index of exactly so many bytes. */
function indexOfSize(size: number): Uint8Array {
  const empty = encode(indexOf([], { annotations: { a: '' } }))
  return encode(indexOf([], { annotations: { a: 'x'.repeat(size - empty.byteLength) } }))
}

/** A body without a length that never ends, and how much of it was read. */
function endless(): { body: ReadableStream<Uint8Array>; read: () => number } {
  let read = 0
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const piece = new Uint8Array(65_536).fill(0x20)
      read += piece.byteLength
      controller.enqueue(piece)
    },
  })
  return { body, read: () => read }
}

describe('T110: the size of a manifest', () => {
  it.each([
    { name: '4 MiB less one byte', size: MAX - 1, want: 201 },
    { name: '4 MiB', size: MAX, want: 201 },
    { name: 'one byte more', size: MAX + 1, want: 413 },
  ])('$name: $want, with a length and without', async ({ size, want }) => {
    const { send } = startHosted()
    const bytes = indexOfSize(size)
    expect(bytes.byteLength).toBe(size)
    const headers = { 'content-type': OCI_INDEX }
    const pieces = () =>
      new ReadableStream<Uint8Array>({
        start: (controller) => {
          for (let at = 0; at < size; at += 100_000)
            controller.enqueue(bytes.slice(at, at + 100_000))
          controller.close()
        },
      })
    for (const body of [bytes, pieces()]) {
      const answer = await send('PUT', `${STEM}/manifests/large`, { headers, body })
      expect(answer.status).toBe(want)
      if (want === 413) expect(await refusalOf(answer)).toBe('413 SIZE_INVALID')
    }
    const read = await send('GET', `${STEM}/manifests/large`)
    expect(read.status).toBe(want === 201 ? 200 : 404)
    if (want === 201) expect(await read.bytes()).toEqual(bytes)
    else expect(await stored()).toEqual([])
  })

  it('an understated length helps nobody', async () => {
    const { send } = startHosted()
    const headers = { 'content-type': OCI_INDEX, 'content-length': '10' }
    const body = indexOfSize(MAX + 1)
    expect((await send('PUT', `${STEM}/manifests/large`, { headers, body })).status).toBe(413)
  })

  it('a body without an end is refused, and what comes after is dropped, to an end', async () => {
    const { body, read } = endless()
    const answer = await startHosted().send('PUT', `${STEM}/manifests/large`, { body })
    expect(await refusalOf(answer)).toBe('413 SIZE_INVALID')
    expect(read()).toBeLessThan(140 * 1024 * 1024)
  })

  it('an overstated length is refused before any of it is believed, and what comes is read out', async () => {
    let left = 5
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (left-- > 0) controller.enqueue(new Uint8Array(1000))
        else controller.close()
      },
    })
    const headers = { 'content-length': String(MAX + 1) }
    const answer = await startHosted().send('PUT', `${STEM}/manifests/large`, { headers, body })
    expect(await refusalOf(answer)).toBe('413 SIZE_INVALID')
    // The client has written all of it, so nothing cuts it off from the answer.
    expect(left).toBe(-1)
  })

  it('a body that breaks off is nothing', async () => {
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error('reset')),
    })
    const answer = await startHosted().send('PUT', `${STEM}/manifests/cut`, { body })
    expect(await refusalOf(answer)).toBe('400 MANIFEST_INVALID')
    expect(await stored()).toEqual([])
  })
})

describe('what is refused', () => {
  const config = { mediaType: CONFIG, digest: ABSENT, size: 1 }
  const twice = new TextEncoder().encode('{"schemaVersion":2,"manifests":[],"manifests":[]}')

  it.each<{ name: string; document: object | Uint8Array; type?: string; want: string }>([
    {
      name: 'T012: both an image and an index',
      document: { ...EMPTY_INDEX, layers: [] },
      type: OCI_INDEX,
      want: '400 MANIFEST_INVALID',
    },
    {
      name: 'T012: both, by its config',
      document: { schemaVersion: 2, manifests: [], config },
      want: '400 MANIFEST_INVALID',
    },
    {
      name: 'T012: another media type than Content-Type',
      document: EMPTY_INDEX,
      type: OCI_MANIFEST,
      want: '400 MANIFEST_INVALID',
    },
    { name: 'T012: a key twice', document: twice, type: OCI_INDEX, want: '400 MANIFEST_INVALID' },
    { name: 'no JSON', document: new TextEncoder().encode('<html>'), want: '400 MANIFEST_INVALID' },
    { name: 'nothing', document: new Uint8Array(), want: '400 MANIFEST_INVALID' },
    { name: 'a list', document: [], want: '400 MANIFEST_INVALID' },
    {
      name: 'schema 1',
      document: { schemaVersion: 1 },
      type: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
      want: '400 MANIFEST_INVALID',
    },
    {
      name: 'a type of no manifest',
      document: EMPTY_INDEX,
      type: 'text/html',
      want: '400 MANIFEST_INVALID',
    },
    {
      name: 'a layer that is no descriptor',
      document: { schemaVersion: 2, config, layers: [{}] },
      want: '400 MANIFEST_INVALID',
    },
    {
      name: 'layers that are no list',
      document: { schemaVersion: 2, config, layers: 'x' },
      want: '400 MANIFEST_INVALID',
    },
    {
      name: 'a subject that is no descriptor',
      document: { ...EMPTY_INDEX, subject: 'x' },
      type: OCI_INDEX,
      want: '400 MANIFEST_INVALID',
    },
    {
      name: 'T111: more than 10 000 layers',
      document: manifestOf(
        config,
        Array.from({ length: 10_000 }, () => config),
      ),
      want: '400 MANIFEST_INVALID',
    },
  ])('$name: $want, and nothing is stored', async ({ document, type = OCI_MANIFEST, want }) => {
    const { putManifest } = startHosted()
    expect(await refusalOf(await putManifest(`${STEM}/manifests/v1`, document, type))).toBe(want)
    expect(await stored()).toEqual([])
  })

  it('T001: bytes of another digest', async () => {
    const { putManifest, send } = startHosted()
    const { digest, bytes } = await contentOf(encode(EMPTY_INDEX))
    const longer = new Uint8Array([...bytes, 0x20, 0x20])
    const answer = await putManifest(`${STEM}/manifests/${digest}`, longer, OCI_INDEX)
    expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
    expect((await send('GET', `${STEM}/manifests/${digest}`)).status).toBe(404)
    expect(await stored()).toEqual([])
  })

  it.each([
    { name: 'a digest of the suite', last: 'sha256:baddigeststring', want: '400 DIGEST_INVALID' },
    { name: 'T015: 63 digits', last: `sha256:${'a'.repeat(63)}`, want: '400 DIGEST_INVALID' },
    {
      name: 'T016: another algorithm',
      last: `sha384:${'a'.repeat(96)}`,
      want: '400 DIGEST_INVALID',
    },
    { name: 'an illegal tag', last: '.INVALID_MANIFEST_NAME', want: '400 MANIFEST_INVALID' },
    { name: 'T093: a tag of 129 characters', last: 'a'.repeat(129), want: '400 MANIFEST_INVALID' },
  ])('the reference $name: $want; only to push it is a mistake', async ({ last, want }) => {
    const { putManifest, send } = startHosted()
    const path = `${STEM}/manifests/${last}`
    expect(await refusalOf(await putManifest(path, EMPTY_INDEX, OCI_INDEX))).toBe(want)
    const isDigest = last.includes(':')
    for (const method of ['GET', 'DELETE']) {
      const expected = isDigest ? '400 DIGEST_INVALID' : '404 MANIFEST_UNKNOWN'
      expect(await refusalOf(await send(method, path))).toBe(expected)
    }
  })

  it('each blob and manifest that is missing is an error of its own', async () => {
    const { putManifest, pushBlob } = startHosted()
    const [there, one, two] = [await noise(1), await noise(2), await noise(3)]
    const layer = await pushBlob('hosted/app', there)
    const missing = [one, two].map((each) => descriptorOf(each, LAYER))
    const answer = await putManifest(
      `${STEM}/manifests/v1`,
      manifestOf({ ...layer, mediaType: CONFIG }, [layer, ...missing, ...missing]),
    )
    expect(answer.status).toBe(400)
    const { errors } = JSON.parse(await answer.text())
    expect(errors).toEqual(
      [one, two].map(({ digest }) => ({
        code: 'MANIFEST_BLOB_UNKNOWN',
        message: expect.any(String),
        detail: { digest },
      })),
    )
  })
})

describe('what is taken', () => {
  it.each(['sha256', 'sha512'] as const)(
    'T016: a manifest by its %s, byte for byte',
    async (algorithm) => {
      const { putManifest, send } = startHosted()
      const text =
        '{ "schemaVersion": 2,\n "manifests": [ ], "x": {"a":1,"a":2}, "\\u0061": "\\u00e9" }\n'
      const { bytes, digest } = await contentOf(new TextEncoder().encode(text), algorithm)
      const answer = await putManifest(
        `${STEM}/manifests/${digest}`,
        bytes,
        `${OCI_INDEX}; charset=utf-8`,
      )
      expect(answer.status).toBe(201)
      expect(answer.headers.get('location')).toBe(`${STEM}/manifests/${digest}`)
      expect(answer.headers.get('docker-content-digest')).toBe(digest)
      expect(answer.headers.get('content-length')).toBe('0')
      for (const method of ['GET', 'HEAD']) {
        const read = await send(method, `${STEM}/manifests/${digest}`)
        expect(read.headers.get('content-type')).toBe(OCI_INDEX)
        expect(read.headers.get('docker-content-digest')).toBe(digest)
        expect(read.headers.get('content-length')).toBe(String(bytes.byteLength))
        expect(await read.bytes()).toEqual(method === 'GET' ? bytes : new Uint8Array())
      }
    },
  )

  it('leads back in the form in which it was pushed to, never to a host: T104', async () => {
    const { send } = startHosted()
    const headers = {
      'content-type': OCI_INDEX,
      host: 'evil.test',
      'x-forwarded-host': 'evil.test',
    }
    const body = encode(EMPTY_INDEX)
    const { digest } = await contentOf(body)
    const path = '/v2/hosted/manifests/tags/manifests/latest'
    const answer = await send('PUT', `${path}?ignored=1`, { headers, body })
    expect(answer.headers.get('location')).toBe(`/v2/hosted/manifests/tags/manifests/${digest}`)
    expect((await send('GET', answer.headers.get('location') ?? '')).status).toBe(200)
  })

  it.each([
    {
      name: 'the subject',
      subject: { mediaType: OCI_MANIFEST, digest: ABSENT, size: 1 },
      want: ABSENT,
    },
    { name: 'no subject', subject: undefined, want: null },
  ])('OCI-Subject: $name, by tag and by digest', async ({ subject, want }) => {
    const { putManifest } = startHosted()
    const { bytes, digest } = await contentOf(encode(indexOf([], subject && { subject })))
    for (const reference of ['v1', digest]) {
      const answer = await putManifest(`${STEM}/manifests/${reference}`, bytes, OCI_INDEX)
      expect(answer.status).toBe(201)
      expect(answer.headers.get('oci-subject')).toBe(want)
    }
  })
})

describe('end-7b: several tags', () => {
  const tagsOf = (answer: Response) => answer.headers.get('oci-tag')?.split(', ') ?? []

  it.each([
    {
      name: 'with a digest',
      reference: 'digest',
      query: 'tag=a&tag=b',
      tags: ['a', 'b'],
      want: ['a', 'b'],
    },
    {
      name: 'with a tag',
      reference: 'v1',
      query: 'tag=a&tag=b',
      tags: ['a', 'b'],
      want: ['a', 'b', 'v1'],
    },
    {
      name: 'one twice',
      reference: 'v1',
      query: 'tag=a&tag=a&tag=v1',
      tags: ['a', 'v1'],
      want: ['a', 'v1'],
    },
    { name: 'none', reference: 'v1', query: 'other=a', tags: [], want: ['v1'] },
  ])('$name', async ({ reference, query, tags, want }) => {
    const { putManifest, send } = startHosted()
    const { bytes, digest } = await contentOf(encode(EMPTY_INDEX))
    const path = `${STEM}/manifests/${reference === 'digest' ? digest : reference}?${query}`
    const answer = await putManifest(path, bytes, OCI_INDEX)
    expect(answer.status).toBe(201)
    expect(tagsOf(answer)).toEqual(tags)
    expect(await (await send('GET', `${STEM}/tags/list`)).json()).toEqual({
      name: 'hosted/app',
      tags: want,
    })
  })

  it('100 at once, and not one more', async () => {
    const { putManifest, send } = startHosted()
    const query = (count: number) => Array.from({ length: count }, (_, n) => `tag=t${n}`).join('&')
    const many = await putManifest(`${STEM}/manifests/v1?${query(101)}`, EMPTY_INDEX, OCI_INDEX)
    expect(await refusalOf(many)).toBe('414 UNSUPPORTED')
    expect((await send('GET', `${STEM}/tags/list`)).status).toBe(404)
    const most = await putManifest(`${STEM}/manifests/v1?${query(100)}`, EMPTY_INDEX, OCI_INDEX)
    expect(tagsOf(most)).toHaveLength(100)
  })

  it.each([
    'tag=',
    'tag=.a',
    'tag=a%2Fb',
    'tag=a%20b',
    `tag=${'a'.repeat(129)}`,
    'tag=a&tag=%00',
    'tag=a:b',
    'tag=a%0D%0Ab',
  ])('T098: ?%s: 400, and none is set', async (query) => {
    const { putManifest, send } = startHosted()
    const answer = await putManifest(`${STEM}/manifests/v1?${query}`, EMPTY_INDEX, OCI_INDEX)
    expect(await refusalOf(answer)).toBe('400 MANIFEST_INVALID')
    expect((await send('GET', `${STEM}/tags/list`)).status).toBe(404)
  })
})

describe('end-9, end-10: deletion', () => {
  it('of a tag leaves the manifest and its other tags', async () => {
    const { putManifest, send } = startHosted()
    const { bytes, digest } = await contentOf(encode(EMPTY_INDEX))
    await putManifest(`${STEM}/manifests/${digest}?tag=0.1.2&tag=0.1.20`, bytes, OCI_INDEX)
    const answer = await send('DELETE', `${STEM}/manifests/0.1.2`)
    expect([answer.status, await answer.text()]).toEqual([202, ''])
    expect((await send('HEAD', `${STEM}/manifests/0.1.2`)).status).toBe(404)
    expect((await send('HEAD', `${STEM}/manifests/0.1.20`)).status).toBe(200)
    expect((await send('HEAD', `${STEM}/manifests/${digest}`)).status).toBe(200)
    expect(await refusalOf(await send('DELETE', `${STEM}/manifests/0.1.2`))).toBe(
      '404 MANIFEST_UNKNOWN',
    )
  })

  it('of a manifest takes all its tags, also from who has just read it', async () => {
    const { putManifest, send } = startHosted()
    const { bytes, digest } = await contentOf(encode(EMPTY_INDEX))
    await putManifest(`${STEM}/manifests/${digest}?tag=a&tag=b`, bytes, OCI_INDEX)
    const before = await send('GET', `${STEM}/manifests/${digest}`)
    expect(before.status).toBe(200)
    const etag = before.headers.get('etag') ?? ''
    expect((await send('DELETE', `${STEM}/manifests/${digest}`)).status).toBe(202)
    for (const reference of [digest, 'a', 'b']) {
      const headers = { 'if-none-match': etag }
      const answer = await send('GET', `${STEM}/manifests/${reference}`, { headers })
      expect(await refusalOf(answer)).toBe('404 MANIFEST_UNKNOWN')
    }
    expect(await refusalOf(await send('DELETE', `${STEM}/manifests/${digest}`))).toBe(
      '404 MANIFEST_UNKNOWN',
    )
  })

  it('of a blob, once', async () => {
    const { pushBlob, send } = startHosted()
    const blob = await noise(10)
    await pushBlob('hosted/app', blob)
    expect((await send('GET', `${STEM}/blobs/${blob.digest}`)).status).toBe(200)
    const answer = await send('DELETE', `${STEM}/blobs/${blob.digest}`)
    expect([answer.status, await answer.text()]).toEqual([202, ''])
    for (const method of ['GET', 'DELETE']) {
      expect(await refusalOf(await send(method, `${STEM}/blobs/${blob.digest}`))).toBe(
        '404 BLOB_UNKNOWN',
      )
    }
  })

  it('T095: touches no repository beside it', async () => {
    const { pushImage, send } = startHosted()
    const names = ['hosted/foo', 'hosted/foo-bar', 'hosted/foo/bar', 'hosted/foobar']
    const images = []
    for (const name of names) images.push(await pushImage(name, { reference: 'v1' }))
    const [image] = images
    expect((await send('DELETE', `/v2/hosted/foo/manifests/${image?.digest}`)).status).toBe(202)
    const statuses = await Promise.all(
      names.map(async (name) => (await send('GET', `/v2/${name}/manifests/v1`)).status),
    )
    expect(statuses).toEqual([404, 200, 200, 200])
  })

  it('no cache keeps what could be deleted', async () => {
    const { pushImage, pushBlob, send } = startHosted()
    const image = await pushImage('hosted/app', { reference: 'v1' })
    const blob = await noise(10)
    await pushBlob('hosted/app', blob)
    for (const path of ['manifests/v1', `manifests/${image.digest}`, `blobs/${blob.digest}`]) {
      const answer = await send('GET', `${STEM}/${path}`)
      expect(answer.headers.get('cache-control')).toBe('private, no-cache, no-transform')
      expect(answer.headers.get('cache-status')).toBe('entrepot')
      expect(answer.headers.get('age')).toBeNull()
      await answer.bytes()
      const headers = { 'if-none-match': answer.headers.get('etag') ?? '' }
      expect((await send('GET', `${STEM}/${path}`, { headers })).status).toBe(304)
    }
  })
})

it('the log has a line for each write: what, where, and how many bytes', async () => {
  const { pushBlob, putManifest, open, patch, send, lines } = startHosted(OPEN)
  const blob = await noise(1000)
  await pushBlob('hosted/app', blob)
  const bytes = encode(EMPTY_INDEX)
  await putManifest(`${STEM}/manifests/v1`, bytes, OCI_INDEX)
  await patch(await open('hosted/app'), blob.bytes)
  await putManifest(`${STEM}/manifests/v2`, new Uint8Array(7), OCI_INDEX)
  await send('DELETE', `${STEM}/manifests/v1`)
  const repository = 'hosted/app'
  expect(lines('request')).toMatchObject([
    { method: 'POST', endpoint: 'uploads', repository, status: 201, bytes: 1000 },
    { method: 'PUT', endpoint: 'manifest', repository, status: 201, bytes: bytes.byteLength },
    { method: 'POST', endpoint: 'uploads', repository, status: 202 },
    { method: 'PATCH', endpoint: 'upload', repository, status: 202, bytes: 1000 },
    { method: 'PUT', endpoint: 'manifest', repository, status: 400, bytes: 7 },
    { method: 'DELETE', endpoint: 'manifest', repository, status: 202 },
  ])
})
