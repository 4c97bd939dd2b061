// What storing manifests asks of R2: one write per key however many come at once, none for what is there,
// and no wait without an end.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { sampleImage } from '../../cli/sample-image.ts'
import { ManifestKeeper } from '../../src/mirror/manifest-keeper.ts'
import { Marker } from '../../src/mirror/marker.ts'
import { Records } from '../../src/mirror/records.ts'
import { Rows } from '../../src/mirror/rows.ts'
import { inspectManifest } from '../../src/oci/manifest.ts'
import { Hints } from '../../src/storage/hints.ts'
import { mirroredManifestKey } from '../../src/storage/keys.ts'
import { ManifestStore } from '../../src/storage/manifests.ts'
import { RepositoryMarkers } from '../../src/storage/repositories.ts'
import type { FetchedManifest } from '../../src/upstream/manifests.ts'
import { broken, silence, storageIsAway } from '../support/broken.ts'
import { passDeadlines } from '../support/deadline.ts'
import { repository } from '../support/parsed.ts'

const NAME = { host: 'one.test', repository: repository('a/b') }
const MARKER = 'repositories/mirrored/one.test/a/b'

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function manifest(seed = 1): Promise<FetchedManifest> {
  const { digest, mediaType, bytes } = await sampleImage({ seed })
  const document = inspectManifest(bytes, mediaType)
  return document.ok ? { digest, mediaType, bytes, document } : expect.fail(document.reason)
}

function keyOf({ digest }: FetchedManifest): string {
  return mirroredManifestKey(NAME, digest)
}

type Put = (key: string, value: Uint8Array, options?: R2PutOptions) => Promise<unknown>

/** As R2 does it. */
const putReally: Put = (key, value, options) => env.BLOBS.put(key, value, options)

/** R2's answer to a second write of one key within a second. */
async function refuse(): Promise<never> {
  throw new Error('put: Reduce your concurrent request rate for the same object. (10058)')
}

interface Kept {
  readonly keeper: ManifestKeeper
  readonly records: Records
  /** The keys that were written, and the events that were logged, in order. */
  readonly puts: string[]
  readonly events: string[]
  /** Another object on the same rows and storage: it has nothing in memory. */
  readonly restart: () => ManifestKeeper
}

/** Runs in an object whose R2 has other methods. */
function inKeeper<Value>(
  methods: { readonly put?: Put; readonly get?: () => Promise<unknown> },
  run: (kept: Kept) => Promise<Value>,
): Promise<Value> {
  const puts: string[] = []
  const events: string[] = []
  const { put = putReally, ...others } = methods
  const bucket = broken(env.BLOBS, {
    ...others,
    put: (...[key, ...rest]: Parameters<Put>) => {
      puts.push(key)
      return put(key, ...rest)
    },
  })
  const object = env.MIRROR_LEDGER.getByName('one.test/a/b')
  return runInDurableObject(object, (_, { storage }) => {
    const rows = new Rows(storage)
    const records = new Records(rows)
    const markers = new RepositoryMarkers(bucket)
    const restart = () =>
      new ManifestKeeper({
        name: NAME,
        records,
        manifests: new ManifestStore(bucket),
        marker: new Marker({ name: NAME, markers, rows, storage }),
        hints: new Hints(env.HINTS, () => undefined),
        now: () => Date.now(),
        defer: () => undefined,
        log: (event) => void events.push(event),
      })
    return run({ keeper: restart(), records, puts, events, restart })
  })
}

describe('at once', () => {
  it('the first manifests of a repository write one marker', async () => {
    const all = await Promise.all([1, 2, 3].map((seed) => manifest(seed)))
    const written = await inKeeper({}, async ({ keeper, puts }) => {
      expect(await Promise.all(all.map((each) => keeper.put(each)))).toEqual([true, true, true])
      return puts
    })
    expect(written).toHaveLength(4)
    expect(new Set(written)).toEqual(new Set([MARKER, ...all.map((each) => keyOf(each))]))
  })

  it('a manifest that comes while the first one is written writes no second marker', async () => {
    const [first, second] = [await manifest(1), await manifest(2)]
    const { promise: held, resolve } = Promise.withResolvers<void>()
    const put: Put = async (key, ...rest) => {
      if (key === keyOf(first)) await held
      return putReally(key, ...rest)
    }
    const written = await inKeeper({ put }, async ({ keeper, puts }) => {
      const waiting = keeper.put(first)
      await vi.waitFor(() => expect(puts).toContain(keyOf(first)))
      expect(await keeper.put(second)).toBe(true)
      resolve()
      expect(await waiting).toBe(true)
      return puts
    })
    expect(written).toEqual([MARKER, keyOf(first), keyOf(second)])
  })

  it('one manifest under several tags is written once, and all are told', async () => {
    const one = await manifest()
    const written = await inKeeper({}, async ({ keeper, puts }) => {
      const told = await Promise.all([keeper.put(one), keeper.put(one), keeper.put(one)])
      expect(told).toEqual([true, true, true])
      return puts
    })
    expect(written).toEqual([MARKER, keyOf(one)])
  })
})

describe('one after the other', () => {
  it('what is stored is not written again', async () => {
    const one = await manifest()
    const written = await inKeeper({}, async ({ keeper, puts }) => {
      expect([await keeper.put(one), await keeper.put(one)]).toEqual([true, true])
      return puts
    })
    expect(written).toEqual([MARKER, keyOf(one)])
  })

  it('what has a row but was lost is written again', async () => {
    const one = await manifest()
    await inKeeper({}, async ({ keeper, restart }) => {
      await keeper.put(one)
      await env.BLOBS.delete(keyOf(one))
      const other = restart()
      expect(await other.get(one.digest)).toBeUndefined()
      expect(await other.put(one)).toBe(true)
    })
    expect(await env.BLOBS.head(keyOf(one))).not.toBeNull()
  })

  it('a marker that could not be written is tried again', async () => {
    const one = await manifest()
    const put = vi.fn<Put>(putReally).mockImplementationOnce(storageIsAway)
    const written = await inKeeper({ put }, async ({ keeper, puts, records }) => {
      expect(await keeper.put(one)).toBe(false)
      expect(records.isEmpty).toBe(true)
      expect(await keeper.put(one)).toBe(true)
      return puts
    })
    expect(written).toEqual([MARKER, MARKER, keyOf(one)])
  })
})

describe('R2 refuses a second write of a key within a second', () => {
  /** Only the manifest's key was written a moment ago. */
  const put: Put = (key, ...rest) => (key === MARKER ? putReally(key, ...rest) : refuse())

  it.each([
    { name: 'the manifest is there: stored', there: 'it', want: true },
    { name: 'other bytes are there: not stored', there: 'other', want: false },
    { name: 'nothing is there: not stored', there: undefined, want: false },
  ])('$name', async ({ there, want }) => {
    const one = await manifest()
    const httpMetadata = { contentType: one.mediaType }
    if (there !== undefined) {
      await env.BLOBS.put(keyOf(one), there === 'it' ? one.bytes : there, { httpMetadata })
    }
    await inKeeper({ put }, async ({ keeper, records, events }) => {
      expect(await keeper.put(one)).toBe(want)
      expect(records.manifest(one.digest) !== undefined).toBe(want)
      expect(events).toEqual(want ? [] : ['manifest-write-failed'])
    })
  })
})

describe('R2 never answers', () => {
  it.each([
    { name: 'the marker', isStuck: (key: string) => key === MARKER },
    { name: 'the manifest', isStuck: (key: string) => key !== MARKER },
  ])('to the write of $name: not stored, and the next attempt starts anew', async (row) => {
    passDeadlines()
    const one = await manifest()
    let isSilent = true
    const put: Put = (key, ...rest) =>
      isSilent && row.isStuck(key) ? silence() : putReally(key, ...rest)
    await inKeeper({ put }, async ({ keeper, records, events }) => {
      expect(await keeper.put(one)).toBe(false)
      expect(records.isEmpty).toBe(true)
      expect(events).toEqual(['manifest-write-failed'])
      vi.restoreAllMocks()
      isSilent = false
      expect(await keeper.put(one)).toBe(true)
    })
  })

  it('to a read: as if nothing were stored', async () => {
    const one = await manifest()
    await inKeeper({ get: silence }, async ({ keeper, restart, events }) => {
      expect(await keeper.put(one)).toBe(true)
      passDeadlines()
      expect(await restart().get(one.digest)).toBeUndefined()
      expect(events).toEqual(['manifest-read-failed'])
    })
  })
})
