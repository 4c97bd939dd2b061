// What an upload session says, as a client is told it. The session is not a real one here: each row is one answer
// of it, and what it was asked.

import { describe, expect, it } from 'vitest'
import type { Chunk, UploadRefusal } from '../../src/hosted/upload.ts'
import { refusalOf } from '../support/answer.ts'
import { OPEN, streamOf } from '../support/hosted-registry.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'

const SESSION = '00000000-0000-4000-8000-000000000000-0a1b2c3d'
const STEM = '/v2/hosted/a/blobs/uploads/'
const PATH = `${STEM}${SESSION}`
const DIGEST = `sha256:${'0'.repeat(64)}`
const CLOSE = `${PATH}?digest=${encodeURIComponent(DIGEST)}`

type Answer = UploadRefusal | { ok: true; offset: number } | { ok: true; size: number } | boolean

interface Session extends Isolate {
  /** What the session was asked, in order. */
  readonly asked: readonly unknown[]
}

/** A registry whose sessions all answer so. */
function startWith(answer: Answer): Session {
  const asked: unknown[] = []
  const note = (method: string) => async (name: object, given?: Chunk) => {
    asked.push({ method, ...name, ...given })
    return answer
  }
  const methods = ['open', 'append', 'close', 'status', 'cancel']
  const stub = Object.fromEntries(methods.map((method) => [method, note(method)]))
  const worker = isolate({ ...OPEN, UPLOAD_SESSION: { getByName: () => stub } })
  return { ...worker, asked }
}

const REQUESTS = [
  { method: 'PATCH', path: PATH, body: 'abc' },
  { method: 'PUT', path: CLOSE, body: 'abc' },
  { method: 'GET', path: PATH, body: undefined },
] as const

describe('a refusal', () => {
  it.each<{ refusal: UploadRefusal; want: string; tells?: Record<string, string> }>([
    { refusal: { ok: false, reason: 'unknown' }, want: '404 BLOB_UPLOAD_UNKNOWN' },
    {
      refusal: { ok: false, reason: 'out-of-order', offset: 10 },
      want: '416 BLOB_UPLOAD_INVALID',
      tells: { range: '0-9', location: PATH },
    },
    {
      refusal: { ok: false, reason: 'out-of-order', offset: 0 },
      want: '416 BLOB_UPLOAD_INVALID',
      tells: { range: '0-0', location: PATH },
    },
    {
      refusal: { ok: false, reason: 'length', offset: 1 },
      want: '400 SIZE_INVALID',
      tells: { range: '0-0', location: PATH },
    },
    {
      refusal: { ok: false, reason: 'cut', offset: 7 },
      want: '400 BLOB_UPLOAD_INVALID',
      tells: { range: '0-6', location: PATH },
    },
    { refusal: { ok: false, reason: 'digest' }, want: '400 DIGEST_INVALID' },
    { refusal: { ok: false, reason: 'too-large', limit: 9 }, want: '413 SIZE_INVALID' },
    {
      refusal: { ok: false, reason: 'later', retryAfter: 3 },
      want: '503 UNKNOWN',
      tells: { 'retry-after': '3' },
    },
  ])('$refusal.reason ($refusal.offset): $want', async ({ refusal, want, tells = {} }) => {
    for (const { method, path, body } of REQUESTS) {
      const answer = await startWith(refusal).fetch(path, { method, ...(body && { body }) })
      expect(await refusalOf(answer)).toBe(want)
      const told = ['range', 'location', 'retry-after'].flatMap((name) => {
        const value = answer.headers.get(name)
        return value === null ? [] : [[name, value]]
      })
      expect(Object.fromEntries(told)).toEqual(tells)
    }
  })

  it('of DELETE: there was nothing to end', async () => {
    const answer = await startWith(false).fetch(PATH, { method: 'DELETE' })
    expect(await refusalOf(answer)).toBe('404 BLOB_UPLOAD_UNKNOWN')
  })

  it.each<{ refusal: UploadRefusal; want: string; methods: string[] }>([
    {
      refusal: { ok: false, reason: 'digest' },
      want: '400 DIGEST_INVALID',
      methods: ['open', 'close', 'cancel'],
    },
    {
      refusal: { ok: false, reason: 'length', offset: 3 },
      want: '400 SIZE_INVALID',
      methods: ['open', 'close', 'cancel'],
    },
    {
      refusal: { ok: false, reason: 'later', retryAfter: 5 },
      want: '503 UNKNOWN',
      methods: ['open', 'close'],
    },
  ])('of a whole upload ($refusal.reason) leaves no session that nobody can name', async (row) => {
    const { fetch, asked } = startWith(row.refusal)
    const answer = await fetch(`${STEM}?digest=${DIGEST}`, { method: 'POST', body: 'abc' })
    expect(await refusalOf(answer)).toBe(row.want)
    expect(answer.headers.get('location')).toBeNull()
    expect(asked.map((each) => (each as { method: string }).method)).toEqual(row.methods)
  })
})

describe('an answer', () => {
  const common = { 'content-length': '0', 'docker-upload-uuid': SESSION, location: PATH }

  it.each([
    {
      name: 'end-5',
      method: 'PATCH',
      path: PATH,
      answer: { ok: true, offset: 3 },
      status: 202,
      tells: { ...common, range: '0-2' },
      bytes: 3,
    },
    {
      name: 'end-5, nothing yet',
      method: 'PATCH',
      path: PATH,
      answer: { ok: true, offset: 0 },
      status: 202,
      tells: { ...common, range: '0-0' },
      bytes: 0,
    },
    {
      name: 'end-6',
      method: 'PUT',
      path: CLOSE,
      answer: { ok: true, size: 9 },
      status: 201,
      tells: {
        'content-length': '0',
        location: `/v2/hosted/a/blobs/${DIGEST}`,
        'docker-content-digest': DIGEST,
      },
      bytes: 9,
    },
    {
      name: 'end-13',
      method: 'GET',
      path: PATH,
      answer: { ok: true, offset: 5 },
      status: 204,
      tells: { 'docker-upload-uuid': SESSION, location: PATH, range: '0-4' },
      bytes: undefined,
    },
    {
      name: 'end-13 by HEAD',
      method: 'HEAD',
      path: PATH,
      answer: { ok: true, offset: 1 },
      status: 204,
      tells: { 'docker-upload-uuid': SESSION, location: PATH, range: '0-0' },
      bytes: undefined,
    },
    {
      name: 'end-13 with the digest of the PUT to come',
      method: 'GET',
      path: CLOSE,
      answer: { ok: true, offset: 5 },
      status: 204,
      tells: { 'docker-upload-uuid': SESSION, location: PATH, range: '0-4' },
      bytes: undefined,
    },
    {
      name: 'end-14',
      method: 'DELETE',
      path: PATH,
      answer: true,
      status: 204,
      tells: {},
      bytes: undefined,
    },
    {
      name: 'unknown parameters',
      method: 'PATCH',
      path: `${PATH}?_state=x&digest=y`,
      answer: { ok: true, offset: 3 },
      status: 202,
      tells: { ...common, range: '0-2' },
      bytes: 3,
    },
  ] as const)('$name: $status, and the log has what is held', async (row) => {
    const { fetch, lines } = startWith(row.answer)
    const isRead = row.method === 'GET' || row.method === 'HEAD'
    const answer = await fetch(row.path, { method: row.method, ...(!isRead && { body: 'abc' }) })
    expect(answer.status).toBe(row.status)
    expect(answer.body === null || (await answer.text()) === '').toBe(true)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const always = [
      'cache-control',
      'cache-status',
      'docker-distribution-api-version',
      'x-content-type-options',
      'x-request-id',
    ]
    const told = [...answer.headers].filter(([name]) => !always.includes(name))
    expect(Object.fromEntries(told)).toEqual(row.tells)
    expect(lines('request')).toMatchObject([
      {
        method: row.method,
        endpoint: 'upload',
        repository: 'hosted/a',
        status: row.status,
        bytes: row.bytes,
      },
    ])
    expect(lines('request')).toHaveLength(1)
  })

  it('end-4a: a session of its own for everybody, with the best size of a chunk', async () => {
    const { fetch, asked } = startWith(true)
    const locations = new Set<string>()
    for (let n = 0; n < 50; n++) {
      const answer = await fetch(STEM, { method: 'POST' })
      expect(answer.status).toBe(202)
      const id = answer.headers.get('docker-upload-uuid')
      expect(id).toMatch(
        /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}-[0-9a-f]{8}$/,
      )
      expect(answer.headers.get('location')).toBe(`${STEM}${id}`)
      expect(answer.headers.get('range')).toBe('0-0')
      expect(answer.headers.get('content-length')).toBe('0')
      expect(answer.headers.get('oci-chunk-min-length')).toBe('8388608')
      locations.add(String(id))
    }
    // T101: no two alike, in the random digits after the UUID either.
    expect(locations.size).toBe(50)
    expect(new Set([...locations].map((id) => id.slice(-8))).size).toBe(50)
    expect(asked).toHaveLength(50)
  })

  it('T104: leads back the way the client came, whatever host it names', async () => {
    const { fetch } = startWith({ ok: true, offset: 1 })
    const headers = {
      host: 'evil.test',
      'x-forwarded-host': 'evil.test',
      forwarded: 'host=evil.test',
    }
    for (const path of [STEM, PATH]) {
      const method = path === STEM ? 'POST' : 'PATCH'
      const answer = await fetch(path, { method, headers })
      expect(answer.headers.get('location')).toMatch(
        /^\/v2\/hosted\/a\/blobs\/uploads\/[0-9a-f-]{45}$/,
      )
      expect(JSON.stringify([...answer.headers])).not.toContain('evil')
    }
  })
})

describe('what a session is asked', () => {
  const at = { repository: 'hosted/a', session: SESSION }

  it.each([
    { name: 'a stream', headers: {}, chunk: {} },
    { name: 'a length', headers: { 'content-length': '3' }, chunk: { length: 3 } },
    {
      name: 'T103: a range',
      headers: { 'content-range': '0-2', 'content-length': '3' },
      chunk: { range: { first: 0, last: 2 }, length: 3 },
    },
    {
      name: 'T103: a range as Docker writes it',
      headers: { 'content-range': 'bytes 4-6/*' },
      chunk: { range: { first: 4, last: 6 } },
    },
    {
      name: 'T103: a range that ends before it begins',
      headers: { 'content-range': '9-3' },
      chunk: { range: { first: 9, last: 3 } },
    },
  ])('$name', async ({ headers, chunk }) => {
    const { fetch, asked } = startWith({ ok: true, offset: 3 })
    await fetch(PATH, { method: 'PATCH', headers, body: streamOf(new Uint8Array(3)) })
    const given = { range: undefined, length: undefined, ...chunk }
    expect(asked).toStrictEqual([{ method: 'append', ...at, ...given }])
    const closing = startWith({ ok: true, size: 3 })
    await closing.fetch(CLOSE, { method: 'PUT', headers, body: streamOf(new Uint8Array(3)) })
    expect(closing.asked).toStrictEqual([{ method: 'close', ...at, digest: DIGEST, ...given }])
  })

  it.each([
    {
      name: 'T103: words as range',
      headers: { 'content-range': 'all' },
      want: '400 BLOB_UPLOAD_INVALID',
    },
    {
      name: 'T103: a negative range',
      headers: { 'content-range': '-1-3' },
      want: '400 BLOB_UPLOAD_INVALID',
    },
    {
      name: 'T103: half a range',
      headers: { 'content-range': '3-' },
      want: '400 BLOB_UPLOAD_INVALID',
    },
    {
      name: 'T103: two ranges',
      headers: { 'content-range': '0-1,2-3' },
      want: '400 BLOB_UPLOAD_INVALID',
    },
    { name: 'an empty range', headers: { 'content-range': '' }, want: '400 BLOB_UPLOAD_INVALID' },
  ])('nothing, for $name: $want', async ({ headers, want }) => {
    for (const { method, path } of REQUESTS.slice(0, 2)) {
      const { fetch, asked } = startWith(true)
      expect(await refusalOf(await fetch(path, { method, headers, body: 'abc' }))).toBe(want)
      expect(asked).toEqual([])
    }
  })

  it.each([
    { name: 'no digest', query: '' },
    { name: 'an empty digest', query: '?digest=' },
    { name: 'T091: a digest that is none', query: '?digest=sha256:baddigeststring' },
    { name: 'T091: upper case', query: `?digest=sha256:${'A'.repeat(64)}` },
    { name: 'T091: a path', query: '?digest=sha256:..%2F..%2Fx' },
    { name: 'T016: an algorithm that is not supported', query: `?digest=blake3:${'0'.repeat(64)}` },
    { name: 'two digests', query: `?digest=${DIGEST}&digest=sha256:${'1'.repeat(64)}` },
  ])('T102: nothing, for a PUT with $name: 400 DIGEST_INVALID', async ({ query }) => {
    const { fetch, asked } = startWith(true)
    const answer = await fetch(`${PATH}${query}`, { method: 'PUT', body: 'abc' })
    expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
    expect(asked).toEqual([])
  })

  it.each([
    '?digest=',
    '?digest=sha256:baddigeststring',
    `?digest=sha384:${'0'.repeat(96)}`,
    '?mount=sha256:00',
    '?mount=&from=hosted/b',
    '?digest-algorithm=md5',
    '?digest-algorithm=sha256&digest-algorithm=blake3',
    '?digest-algorithm=',
  ])('nothing, for a POST with %s: 400 DIGEST_INVALID', async (query) => {
    const { fetch, asked } = startWith(true)
    const answer = await fetch(`${STEM}${query}`, { method: 'POST', body: 'abc' })
    expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
    expect(asked).toEqual([])
  })

  it.each(['?digest-algorithm=sha256', '?digest-algorithm=sha512', '?ns2=x', '?from=hosted/b'])(
    'to begin, for a POST with %s',
    async (query) => {
      const { fetch, asked } = startWith(true)
      expect((await fetch(`${STEM}${query}`, { method: 'POST' })).status).toBe(202)
      expect(asked).toMatchObject([{ method: 'open', repository: 'hosted/a' }])
    },
  )

  it.each([
    'x',
    'list',
    SESSION.slice(0, -1),
    `${SESSION}0`,
    SESSION.toUpperCase(),
    SESSION.slice(0, 36),
    `%20${SESSION}`,
    `${SESSION}%0A`,
    `${SESSION}%00`,
    '..%2F..%2Fa',
    '%zz',
  ])('T101: nothing, for an id that was never handed out: %s', async (id) => {
    for (const method of ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE']) {
      const { fetch, asked } = startWith(true)
      const isRead = method === 'GET' || method === 'HEAD'
      const answer = await fetch(`${STEM}${id}?digest=${DIGEST}`, {
        method,
        ...(!isRead && { body: 'abc' }),
      })
      expect(answer.status).toBe(404)
      if (method !== 'HEAD') expect(await refusalOf(answer)).toBe('404 BLOB_UPLOAD_UNKNOWN')
      expect(asked).toEqual([])
    }
  })
})
