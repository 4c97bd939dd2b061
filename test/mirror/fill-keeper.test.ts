// The keeper of a storage key's one fill: who joins, when a call answers, what the alarm does, and that
// nothing is left in the object's storage (design §2, properties 1, 3, 10 and 11).

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { MirroredBlobs } from '../../src/mirror/blobs.ts'
import { FillKeeper } from '../../src/mirror/fill-keeper.ts'
import type { FillKeeperGiven, FillRequest } from '../../src/mirror/fill-keeper.ts'
import type { FillProgress } from '../../src/mirror/fill.ts'
import type { Patience } from '../../src/mirror/patience.ts'
import { BlobStore } from '../../src/storage/blobs.ts'
import { KiB, MiB, expectBytes, join, keysIn, openBody, withhold } from '../support/blob.ts'
import { broken, silence, storageIsAway } from '../support/broken.ts'
import { MINUTE } from '../support/clock.ts'
import { IMPATIENCE, upstreamed } from '../support/fill.ts'
import type { Upstreamed } from '../support/fill.ts'
import { network } from '../support/network.ts'
import { repository } from '../support/parsed.ts'
import { connect, upstreamFrom } from '../support/upstream-client.ts'

afterEach(() => reset())

const LARGE = 6 * MiB

interface Kept {
  readonly keeper: FillKeeper
  readonly request: FillRequest
  readonly storage: DurableObjectStorage
  /** Ids of fills and the alarm. */
  readonly traces: () => Promise<string[]>
  /** Waits for the fill and all that follows it. */
  readonly settle: () => Promise<void>
  readonly gets: () => number
}

/** Calls that nothing wakes would not end before the test does. */
const WOKEN = { patience: { news: 60_000 } }

/** Uses a keeper of the blob within an object. */
async function keep(
  blob: Upstreamed,
  use: (kept: Kept) => Promise<void>,
  changed: Partial<FillKeeperGiven> & { readonly patience?: Partial<Patience> } = {},
): Promise<void> {
  await runInDurableObject(env.BLOB_FILL.getByName(blob.key), async (_, { storage }) => {
    const work: Promise<unknown>[] = []
    const { patience, ...given } = changed
    const keeper = new FillKeeper(
      {
        storage,
        bucket: env.BLOBS,
        blobs: new BlobStore(env.BLOBS),
        open: blob.open,
        statedSize: async () => undefined,
        now: () => Date.now(),
        defer: (one) => void work.push(one.catch(() => undefined)),
        log: () => undefined,
        ...given,
      },
      { ...IMPATIENCE, storage: 2000, ...patience },
    )
    await use({
      keeper,
      request: {
        host: 'one.test',
        repository: repository(blob.name),
        digest: blob.digest,
        key: blob.key,
        wants: 'bytes',
      },
      storage,
      traces: async () => [
        // Beside them is the version of the keys.
        ...Array.from(storage.kv.list(), ([id]) => id).filter((id) => id !== '~schema'),
        ...((await storage.getAlarm()) === null ? [] : ['alarm']),
      ],
      settle: async () => void (await Promise.all(work)),
      gets: () => blob.upstream.count({ kind: 'blob' }),
    })
    await Promise.all(work)
  })
}

/** The id of a fill that runs. */
function idOf(progress: FillProgress): string {
  return progress.state === 'filling' ? progress.id : expect.fail(`it is ${progress.state}`)
}

/** Follows a fill as a reader does that has `from` segments; returns the lengths of the others. */
async function follow(keeper: FillKeeper, first: FillProgress, from = 0): Promise<number[]> {
  const id = idOf(first)
  const lengths: number[] = []
  let answer: Awaited<ReturnType<FillKeeper['progress']>> = first
  while (answer.state === 'filling') {
    lengths.push(...answer.segments)
    if (answer.isComplete) break
    answer = await keeper.progress(id, from + lengths.length)
  }
  return lengths
}

const sum = (lengths: readonly number[]) => lengths.reduce((a, b) => a + b, 0)

describe('begin', () => {
  it('answers with the size when the upstream has sent headers and withholds every byte', async () => {
    const blob = await upstreamed(LARGE)
    blob.upstream.clearFaults()
    const { release, isReleased } = withhold(blob.upstream, 0)
    await keep(
      blob,
      async ({ keeper, request }) => {
        const progress = await keeper.begin(request)
        expect(isReleased()).toBe(false)
        expect(progress).toMatchObject({ state: 'filling', size: LARGE, segments: [] })
        release()
        expect(sum(await follow(keeper, progress))).toBe(LARGE)
      },
      WOKEN,
    )
  })

  it('lets a client have its headers then, and its bytes when they come', async () => {
    const blob = await upstreamed(LARGE)
    blob.upstream.clearFaults()
    const { release, isReleased } = withhold(blob.upstream, 0)
    await keep(
      blob,
      async ({ keeper, request, settle }) => {
        const { client } = connect(upstreamFrom(), { network: network({}) })
        const work: Promise<unknown>[] = []
        const blobs = new MirroredBlobs(
          {
            name: request,
            client,
            bucket: env.BLOBS,
            blobs: new BlobStore(env.BLOBS),
            fillOf: () => ({
              join: (one) => keeper.join(one),
              begin: (one) => keeper.begin(one),
              progress: (id, from) => keeper.progress(id, from),
              end: (id) => keeper.end(id),
              beginDetour: async () => keeper.beginDetour(),
              endDetour: async (id) => keeper.endDetour(id),
            }),
            admit: async () => ({ ok: true }),
            seams: {
              fetch: storageIsAway,
              now: () => Date.now(),
              defer: (one) => void work.push(one),
              log: () => undefined,
            },
          },
          { ...IMPATIENCE, storage: 2000, lookup: 2000 },
        )
        const answer = await blobs.get(blob.digest, { wants: 'bytes', range: undefined })
        expect(isReleased()).toBe(false)
        expect(answer).toMatchObject({ ok: true, size: LARGE, outcome: 'fill' })
        const body = openBody(
          'body' in answer && answer.body ? answer.body : expect.fail('no body'),
        )
        release()
        expectBytes(await body.rest(), blob.bytes)
        await settle()
      },
      WOKEN,
    )
  })

  it('answers a question for the size at once', async () => {
    const blob = await upstreamed(LARGE)
    blob.upstream.clearFaults()
    const { release } = withhold(blob.upstream, 0)
    const patience = { headers: 60_000, news: 60_000, begin: 60_000 }
    await keep(
      blob,
      async ({ keeper, request }) => {
        const progress = await keeper.begin({ ...request, wants: 'size' })
        expect(progress).toMatchObject({ state: 'filling', size: LARGE, segments: [] })
        release()
        await follow(keeper, progress)
      },
      { patience },
    )
  })

  it('gives up waiting, but not the fill, when the upstream does not even send headers', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const blob = await upstreamed(KiB, { holdHeaders: promise })
    await keep(blob, async ({ keeper, request, settle, gets }) => {
      expect(await keeper.begin(request)).toMatchObject({ size: undefined, segments: [] })
      resolve()
      await settle()
      expect(await keeper.begin(request)).toEqual({ state: 'stored', size: KiB })
      expect(gets()).toBe(1)
    })
  })

  it('has waited long enough when storage has taken all of the time', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const blob = await upstreamed(KiB, { holdHeaders: promise })
    let now = 0
    const head = async () => {
      now += MINUTE
      return null
    }
    const given = { now: () => now, blobs: new BlobStore(broken(env.BLOBS, { head })) }
    await keep(
      blob,
      async ({ keeper, request }) => {
        expect(await keeper.begin(request)).toMatchObject({ size: undefined, segments: [] })
        resolve()
      },
      { ...given, patience: { news: MINUTE } },
    )
  })

  it('joins everybody to one fill, and asks for nothing that is stored', async () => {
    const blob = await upstreamed(LARGE)
    await keep(blob, async ({ keeper, request, settle, gets }) => {
      const answers = await Promise.all([1, 2, 3].map(() => keeper.begin(request)))
      expect(new Set(answers.map(idOf)).size).toBe(1)
      await settle()
      expect(await keeper.begin(request)).toEqual({ state: 'stored', size: LARGE })
      expect(gets()).toBe(1)
    })
  })

  it('never falls between the end of a fill and what it has stored', async () => {
    const blob = await upstreamed(LARGE)
    await keep(blob, async ({ keeper, request, gets }) => {
      const states = new Set<string>()
      let calls = 0
      const ask = async (): Promise<void> => {
        const { state } = await keeper.begin(request)
        states.add(state)
        calls += 1
        await new Promise((done) => setTimeout(done))
        if (state === 'filling' && calls < 10_000) await ask()
      }
      await Promise.all([ask(), ask(), ask()])
      expect([...states]).toEqual(['filling', 'stored'])
      expect(gets()).toBe(1)
    })
  })

  it.each([
    { name: 'fails', head: storageIsAway },
    { name: 'does not answer', head: silence },
  ])('says that storage is away when it $name', async ({ head }) => {
    const blob = await upstreamed(KiB)
    const blobs = new BlobStore(broken(env.BLOBS, { head }))
    await keep(
      blob,
      async ({ keeper, request, gets }) => {
        const answer = await keeper.begin(request)
        expect(answer).toMatchObject({ state: 'failed', failure: { kind: 'storage' } })
        expect(gets()).toBe(0)
      },
      { blobs },
    )
  })
})

describe('progress', () => {
  it('tells every segment once, in order, to each of many followers', async () => {
    const blob = await upstreamed(9 * MiB)
    await keep(
      blob,
      async ({ keeper, request, gets }) => {
        const first = await keeper.begin(request)
        const all = await Promise.all(Array.from({ length: 20 }, () => follow(keeper, first)))
        for (const lengths of all) {
          // Whoever is told that the blob is stored goes on there.
          expect(lengths).toEqual(
            all.find((other) => other.length >= lengths.length)?.slice(0, lengths.length),
          )
        }
        expect(Math.max(...all.map(sum))).toBe(9 * MiB)
        expect(gets()).toBe(1)
      },
      WOKEN,
    )
  })

  it('wakes whoever waits at each of them, not only at the end', async () => {
    const blob = await upstreamed(LARGE)
    blob.upstream.clearFaults()
    const { release, isReleased } = withhold(blob.upstream, 4 * MiB)
    await keep(
      blob,
      async ({ keeper, request }) => {
        const id = idOf(await keeper.begin(request))
        const lengths: number[] = []
        while (sum(lengths) < 4 * MiB) {
          const answer = await keeper.progress(id, lengths.length)
          lengths.push(
            ...(answer.state === 'filling' ? answer.segments : expect.fail(answer.state)),
          )
        }
        expect(isReleased()).toBe(false)
        release()
      },
      WOKEN,
    )
  })

  it('answers without news when there is none for long, and with them afterwards', async () => {
    const blob = await upstreamed(LARGE)
    blob.upstream.clearFaults()
    const { release } = withhold(blob.upstream, 2 * MiB)
    await keep(blob, async ({ keeper, request }) => {
      const first = await keeper.begin(request)
      const running = first.state === 'filling' ? first : expect.fail(first.state)
      const { id } = running
      let known = 0
      for (let news = 1; news > 0; known += news) {
        const answer = await keeper.progress(id, known)
        news = answer.state === 'filling' ? answer.segments.length : expect.fail(answer.state)
      }
      expect(await keeper.end(id)).toBeUndefined()
      release()
      const rest = await follow(keeper, { ...running, segments: [] }, known)
      expect(rest.length).toBeGreaterThan(0)
      let end
      do end = await keeper.end(id)
      while (end === undefined)
      expect(end).toEqual({ state: 'stored', size: LARGE })
    })
  })

  it('knows nothing of other fills', async () => {
    const blob = await upstreamed(KiB)
    await keep(blob, async ({ keeper }) => {
      expect(await keeper.progress('another', 0)).toEqual({ state: 'gone' })
      expect(await keeper.end('another')).toEqual({ state: 'gone' })
    })
  })
})

describe('join', () => {
  it('starts nothing', async () => {
    const blob = await upstreamed(KiB)
    await keep(blob, async ({ keeper, request, traces, gets }) => {
      expect(await keeper.join(request)).toBeUndefined()
      expect(await traces()).toEqual([])
      expect(gets()).toBe(0)
    })
  })

  it('joins a fill that is about to start, and one that runs', async () => {
    const blob = await upstreamed(LARGE)
    await keep(blob, async ({ keeper, request, gets }) => {
      const beginning = keeper.begin(request)
      const early = (await keeper.join(request)) ?? expect.fail('it does not wait')
      const first = await beginning
      const late = (await keeper.join(request)) ?? expect.fail('it does not see it')
      expect([idOf(early), idOf(late)]).toEqual([idOf(first), idOf(first)])
      expect(sum(await follow(keeper, late))).toBe(LARGE)
      expect(gets()).toBe(1)
    })
  })

  it('says that the blob has just been stored, if it still is', async () => {
    const blob = await upstreamed(LARGE)
    await keep(blob, async ({ keeper, request, settle }) => {
      await keeper.begin(request)
      await settle()
      expect(await keeper.join(request)).toEqual({ state: 'stored', size: LARGE })
      await env.BLOBS.delete(blob.key)
      expect(await keeper.join(request)).toBeUndefined()
    })
  })

  it('says what is not there, for a minute, of the repository that was asked for', async () => {
    const blob = await upstreamed(KiB, { status: 404 })
    let later = 0
    const now = () => Date.now() + later
    const use = async ({ keeper, request, gets }: Kept) => {
      await keeper.begin(request)
      const missing = { state: 'failed', failure: { kind: 'not-found' } }
      expect(await keeper.join(request)).toEqual(missing)
      const other = { ...request, repository: repository('c/d') }
      expect(await keeper.join(other)).toBeUndefined()
      later = MINUTE
      expect(await keeper.join(request)).toBeUndefined()
      expect(gets()).toBe(1)
    }
    await keep(blob, use, { now })
  })

  it('tells nobody what another repository was refused', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const blob = await upstreamed(KiB, { status: 404, holdHeaders: promise })
    await keep(
      blob,
      async ({ keeper, request, gets }) => {
        const first = keeper.begin(request)
        const other = keeper.join({ ...request, repository: repository('c/d') })
        resolve()
        expect(await first).toMatchObject({ state: 'failed' })
        expect(await other).toBeUndefined()
        expect(gets()).toBe(1)
      },
      WOKEN,
    )
  })
})

describe('what is left', () => {
  it('is noted before the first segment, and nothing when the fill is over', async () => {
    const blob = await upstreamed(LARGE)
    await keep(blob, async ({ keeper, request, traces, settle }) => {
      const id = idOf(await keeper.begin(request))
      expect(await traces()).toEqual([id, 'alarm'])
      await settle()
      expect(await traces()).toEqual([])
      expect(await keysIn('fills/')).toEqual([])
    })
  })

  it('is never anything of a blob that the upstream does not have', async () => {
    const blob = await upstreamed(KiB, { status: 404 })
    await keep(blob, async ({ keeper, request, traces, gets }) => {
      const missing = { state: 'failed', failure: { kind: 'not-found' } }
      expect(await keeper.begin(request)).toEqual(missing)
      expect(await keeper.begin(request)).toEqual(missing)
      expect(await traces()).toEqual([])
      expect(gets()).toBe(1)
    })
  })

  it('is removed by the next alarm when R2 was away at the end', async () => {
    const blob = await upstreamed(LARGE)
    let isAway = true
    const list = (options: R2ListOptions) => (isAway ? storageIsAway() : env.BLOBS.list(options))
    await keep(
      blob,
      async ({ keeper, request, traces, settle }) => {
        const id = idOf(await keeper.begin(request))
        await settle()
        expect(await traces()).toEqual([id, 'alarm'])
        await keeper.alarm()
        expect(await traces()).toEqual([id, 'alarm'])
        isAway = false
        await keeper.alarm()
        expect(await traces()).toEqual([])
        expect(await keysIn('fills/')).toEqual([])
      },
      { bucket: broken(env.BLOBS, { list }) },
    )
  })

  it('stays for its readers when the blob could not be stored, and serves everybody who comes', async () => {
    const blob = await upstreamed(LARGE)
    let isAway = true
    const put = (key: string, value: Uint8Array, options: R2PutOptions) =>
      isAway && !key.startsWith('fills/') ? storageIsAway() : env.BLOBS.put(key, value, options)
    const bucket = broken(env.BLOBS, { put })
    await keep(
      blob,
      async ({ keeper, request, traces, settle, gets }) => {
        const id = idOf(await keeper.begin(request))
        await settle()
        expect(await keeper.end(id)).toMatchObject({ failure: { kind: 'storage' } })
        const later = await keeper.begin(request)
        expect(idOf(later)).toBe(id)
        expect(sum(await follow(keeper, later))).toBe(LARGE)
        expect(gets()).toBe(1)
        isAway = false
        await keeper.alarm()
        expect(await traces()).toEqual([])
        expect(await keysIn('')).toEqual([])
        await follow(keeper, await keeper.begin(request))
        await settle()
        expect(await keysIn('')).toEqual([blob.key])
        expect(gets()).toBe(2)
      },
      { bucket, blobs: new BlobStore(bucket) },
    )
  })

  it('is not touched by an alarm while the fill runs', async () => {
    const blob = await upstreamed(LARGE)
    blob.upstream.clearFaults()
    const { release } = withhold(blob.upstream, 2 * MiB)
    await keep(blob, async ({ keeper, request, storage, traces, settle }) => {
      const id = idOf(await keeper.begin(request))
      storage.kv.put('an-earlier-fill', true)
      await env.BLOBS.put('fills/an-earlier-fill/0', 'x')
      await keeper.alarm()
      expect(await traces()).toEqual([id, 'alarm'])
      expect((await keysIn('fills/')).filter((key) => !key.includes(id))).toEqual([])
      release()
      await settle()
      expect(await traces()).toEqual([])
      expect(await keysIn('')).toEqual([blob.key])
    })
  })
})

describe('a fill whose clients have left', () => {
  it.each([
    { name: 'is given up after 14 minutes', isAsked: false, want: 'failed' },
    { name: 'goes on as long as somebody asks', isAsked: true, want: 'stored' },
  ])('$name', async ({ isAsked, want }) => {
    const blob = await upstreamed(LARGE)
    blob.upstream.clearFaults()
    const { release } = withhold(blob.upstream, 2 * MiB)
    let now = Date.now()
    await keep(
      blob,
      async ({ keeper, request, settle }) => {
        const id = idOf(await keeper.begin(request))
        for (let minutes = 0; minutes <= 20; minutes += 4) {
          now += 4 * MINUTE
          if (isAsked) void keeper.progress(id, 1000)
        }
        // Asking how it ended would be asking for it: only its own end is waited for.
        if (!isAsked) await settle()
        release()
        await settle()
        expect(await keeper.end(id)).toMatchObject({ state: want })
        expect(await keysIn('fills/')).toEqual([])
      },
      { now: () => now },
    )
  })
})

describe('readers that are joined', () => {
  it('are given the same bytes whatever they were told when', async () => {
    const blob = await upstreamed(LARGE)
    await keep(blob, async ({ keeper, request, settle }) => {
      const first = await keeper.begin(request)
      const id = idOf(first)
      const pieces: Uint8Array[] = []
      const lengths = await follow(keeper, first)
      for (const n of lengths.keys()) {
        const object = await env.BLOBS.get(`fills/${id}/${n}`)
        pieces.push((await object?.bytes()) ?? new Uint8Array())
      }
      const read = join(pieces)
      expectBytes(read, blob.bytes.subarray(0, read.byteLength))
      await settle()
    })
  })
})
