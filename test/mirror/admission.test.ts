// Who may cause upstream work: what nobody has asked for before needs admission, once per request, and what
// is known, stale or on its way needs none (design §8, `admit`).

import { evictAllDurableObjects, reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import type { Admission, Admit } from '../../src/mirror/admission.ts'
import type { MirroredRepository } from '../../src/mirror/repository.ts'
import { parseDigest } from '../../src/oci/digest.ts'
import { Services, platformSeams } from '../../src/services.ts'
import { mirroredManifestKey } from '../../src/storage/keys.ts'
import { KiB, addSampleBlob, openBody, withhold } from '../support/blob.ts'
import type { SampleBlob } from '../support/blob.ts'
import { storageIsAway } from '../support/broken.ts'
import { MINUTE, SECOND, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { goOnline, startUpstream } from '../support/internet.ts'
import { broken } from '../support/operations.ts'
import { reference, repository } from '../support/parsed.ts'

const NAME = { host: 'one.test', repository: repository('a/b') }
const MISSING = parseDigest(`sha256:${'7'.repeat(64)}`) ?? expect.fail('no digest')
const ADMITTED = { ok: true } as const
const LIMITED = { ok: false, retryAfter: 7 } as const
const READS_ONLY = { ok: false, retryAfter: undefined } as const
const LEDGER_AWAY = { MIRROR_LEDGER: broken('objects') }
/** Objects that know nothing, and that fail when they are to ask the upstream. */
const HALF_AWAY = new Proxy(
  {},
  {
    get: (_, method) => {
      if (method === 'then') return undefined
      const isKnown = String(method).startsWith('known') || method === 'join'
      return isKnown ? async () => undefined : storageIsAway
    },
  },
)
const KV_AWAY = { HINTS: broken('store') }
const PAGE = { n: undefined, last: undefined }

let upstream: SampleUpstream
let clock: Clock
let image: SampleManifest
let blob: SampleBlob
let isClosed: boolean

beforeEach(async () => {
  clock = stopClock()
  isClosed = false
  upstream = startUpstream({ authentication: { isPrivate: () => isClosed } })
  goOnline({ 'one.test': upstream })
  image = await sampleImage({ layers: [64] })
  await addSample(upstream, 'a/b', image, 'v1')
  blob = await addSampleBlob(upstream, 8 * KiB)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** What one request asks for. */
type Question = (repository: MirroredRepository) => Promise<{ readonly ok: boolean }>

const TAG: Question = (from) => from.manifest(reference('v1'))
const OTHER_TAG: Question = (from) => from.manifest(reference('none'))
const DIGEST: Question = (from) => from.manifest(reference(image.digest))
const OTHER_DIGEST: Question = (from) => from.manifest(reference(MISSING))
const TAGS: Question = (from) => from.tags(PAGE)
const REFERRERS: Question = (from) => from.referrers(MISSING)
const SIZE: Question = (from) => from.blobs.get(blob.digest, { wants: 'size' })
const BYTES: Question = (from) => from.blobs.get(blob.digest, { wants: 'bytes', range: undefined })
const OTHER_BLOB: Question = (from) => from.blobs.get(MISSING, { wants: 'size' })

interface Asked {
  readonly answer: Awaited<ReturnType<Question>>
  /** How often it has asked for admission. */
  readonly admissions: number
}

/** One request in a new isolate, which knows nothing; its bindings may be `changed`. */
async function ask(question: Question, admission: Admission, changed = {}): Promise<Asked> {
  const work: Promise<unknown>[] = []
  const seams = platformSeams(
    (one) => void work.push(one),
    () => undefined,
  )
  const services = new Services({ ...env, ...changed }, seams)
  const admit = vi.fn<Admit>(async () => admission)
  const opening = services.opening(admit)
  const of = services.config.upstreams.get(NAME.host) ?? expect.fail('no upstream')
  const answer = await question(opening.mirrored(of, NAME))
  if ('body' in answer && answer.body instanceof ReadableStream) await openBody(answer.body).rest()
  await Promise.all(work)
  return { answer, admissions: admit.mock.calls.length }
}

const refused = (kind: 'not-found' | 'denied') => ({ ok: false, failure: { kind } })
const LIMITED_HERE = { ok: false, failure: { kind: 'limited-here', retryAfter: 7 } }

/** Somebody who may has asked for it before. */
async function before(...questions: readonly Question[]): Promise<void> {
  for (const question of questions) await ask(question, ADMITTED)
  upstream.forget()
}

describe.each([
  { where: 'all is well', changed: {} },
  {
    where: 'the objects are away',
    changed: { ...LEDGER_AWAY, BLOB_FILL: broken('objects') },
  },
  {
    where: 'the objects are away for half of it',
    changed: {
      MIRROR_LEDGER: { getByName: () => HALF_AWAY },
      BLOB_FILL: { getByName: () => HALF_AWAY },
    },
  },
])('while $where, what nobody knows', ({ changed }) => {
  it.each([
    { name: 'a tag', question: TAG },
    { name: 'a digest', question: DIGEST },
    { name: 'tags', question: TAGS },
    { name: 'referrers', question: REFERRERS },
    { name: 'the size of a blob', question: SIZE },
    { name: 'a blob', question: BYTES },
  ])('needs admission, once: $name', async ({ question }) => {
    const limited = await ask(question, LIMITED, changed)
    expect(limited).toEqual({ answer: LIMITED_HERE, admissions: 1 })
    const reader = await ask(question, READS_ONLY, changed)
    expect(reader).toEqual({ answer: refused('not-found'), admissions: 1 })
    expect(upstream.requests).toEqual([])
    const admitted = await ask(question, ADMITTED, changed)
    expect(admitted).toMatchObject({ answer: { ok: true }, admissions: 1 })
    expect(upstream.requests).not.toEqual([])
  })
})

describe('what is known needs no admission', () => {
  it.each([
    { name: 'a tag, by KV', question: TAG },
    { name: 'a tag, by the ledger', question: TAG, changed: KV_AWAY },
    { name: 'a digest, by KV', question: DIGEST },
    { name: 'a digest, by the ledger', question: DIGEST, changed: KV_AWAY },
    { name: 'a digest, by R2', question: DIGEST, changed: { ...KV_AWAY, ...LEDGER_AWAY } },
    { name: 'tags', question: TAGS },
    { name: 'referrers', question: REFERRERS },
    { name: 'the size of a blob', question: SIZE },
    { name: 'a blob', question: BYTES },
  ])('$name', async ({ question, changed }) => {
    await before(TAG, TAGS, REFERRERS, BYTES)
    clock.advance(30 * SECOND - 1)
    const { answer, admissions } = await ask(question, LIMITED, changed)
    expect(answer).toMatchObject({ ok: true, outcome: 'hit' })
    expect(admissions).toBe(0)
    expect(upstream.requests).toEqual([])
  })

  it.each([
    { name: 'tags', question: TAGS },
    { name: 'referrers', question: REFERRERS },
  ])('a list that is too old is not known: $name', async ({ question }) => {
    await before(question)
    clock.advance(30 * SECOND)
    expect((await ask(question, LIMITED)).answer).toEqual(LIMITED_HERE)
    expect(upstream.requests).toEqual([])
  })

  it.each([
    { name: 'by the ledger', changed: {} },
    { name: 'by the request, while the ledger is away', changed: LEDGER_AWAY },
  ])('a tag is confirmed $name', async ({ changed }) => {
    await before(TAG)
    const next = await sampleImage({ seed: 2 })
    await addSample(upstream, 'a/b', next, 'v1')
    clock.advance(5 * MINUTE)
    const { answer, admissions } = await ask(TAG, READS_ONLY, changed)
    expect(answer).toMatchObject({ ok: true, digest: next.digest, warning: undefined })
    expect(admissions).toBe(0)
  })

  it.each([
    { name: 'by the ledger', changed: {} },
    { name: 'by the request, while the ledger is away', changed: LEDGER_AWAY },
  ])('a tag is served stale $name', async ({ changed }) => {
    await before(TAG)
    upstream.stop()
    clock.advance(5 * MINUTE)
    const { answer, admissions } = await ask(TAG, READS_ONLY, changed)
    expect(answer).toMatchObject({ ok: true, outcome: 'stale' })
    expect(admissions).toBe(0)
  })

  it('a manifest that R2 has lost is fetched again', async () => {
    await before(TAG)
    await env.BLOBS.delete(mirroredManifestKey(NAME, image.digest))
    await evictAllDurableObjects()
    const { answer, admissions } = await ask(DIGEST, READS_ONLY, KV_AWAY)
    expect(answer).toMatchObject({ ok: true, outcome: 'fill' })
    expect(admissions).toBe(0)
  })
})

describe('what is known not to be there needs no admission', () => {
  it.each([
    { name: 'a tag', question: OTHER_TAG },
    { name: 'a digest', question: OTHER_DIGEST },
    { name: 'a blob', question: OTHER_BLOB },
  ])('for a minute: $name', async ({ question }) => {
    await before(question)
    clock.advance(MINUTE - 1)
    const known = await ask(question, LIMITED)
    expect(known).toEqual({ answer: refused('not-found'), admissions: 0 })
    clock.advance(1)
    expect(await ask(question, LIMITED)).toEqual({ answer: LIMITED_HERE, admissions: 1 })
    expect(upstream.requests).toEqual([])
  })

  it.each([
    { name: 'another tag', question: OTHER_TAG },
    { name: 'a digest', question: DIGEST },
  ])('$name of a repository that is refused', async ({ question }) => {
    isClosed = true
    await before(TAG)
    const { answer, admissions } = await ask(question, LIMITED)
    expect(answer).toMatchObject(refused('denied'))
    expect(admissions).toBe(0)
    expect(upstream.requests).toEqual([])
  })
})

describe('what is on its way', () => {
  it('a manifest is not known before it is there', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    upstream.fault({ on: { kind: 'manifest' }, do: { holdHeaders: promise } })
    const first = ask(TAG, ADMITTED)
    await vi.waitFor(() => expect(upstream.count({ kind: 'manifest' })).toBe(1))
    expect((await ask(TAG, READS_ONLY)).answer).toEqual(refused('not-found'))
    const second = ask(TAG, ADMITTED)
    resolve()
    for (const { answer, admissions } of [await first, await second]) {
      expect(answer).toMatchObject({ ok: true })
      expect(admissions).toBe(1)
    }
    expect((await ask(TAG, READS_ONLY)).answer).toMatchObject({ ok: true })
    expect(upstream.count({ kind: 'manifest' })).toBe(1)
  })

  it('a fill is joined by anybody', async () => {
    const { release } = withhold(upstream, KiB)
    const first = ask(BYTES, ADMITTED)
    await vi.waitFor(() => expect(upstream.count({ kind: 'blob' })).toBe(1))
    const second = await ask(SIZE, READS_ONLY)
    expect(second).toMatchObject({ answer: { ok: true, outcome: 'fill' }, admissions: 0 })
    release()
    expect(await first).toMatchObject({ answer: { ok: true, outcome: 'fill' }, admissions: 1 })
    expect(upstream.count({ kind: 'blob' })).toBe(1)
  })
})
