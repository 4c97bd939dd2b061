// What is not there yet: an image that is pulled or pushed for the first time, and one large layer. Each round has
// bytes of its own, and what a bare Worker takes to put the same bytes into R2 is the measure.

import type { AddressedBlob, Image } from '../content.ts'
import { MB, MIB } from '../scenario.ts'
import type { Contender, Contest } from './contest.ts'
import { FLOOR_PATHS } from './floor-paths.ts'
import { targetOf } from './rate.ts'
import { REPOSITORIES, type Stand, baseOf } from './stand.ts'

const ROUNDS = 5
const LAYERS = 10
const LARGE = 200 * MB
/** Runtimes move so many blobs at once. */
const PARALLEL = 3
/** Of what the issue asks: against a plain R2 put of the same bytes. */
const TARGET = 0.35
/** Where the seeds begin, so that no two rounds have a layer in common. */
const SEEDS = { pull: 1000, push: 2000, large: 3000 } as const

/** Cold pulls, and pushes. */
export function pullContests(stand: Stand): readonly Contest[] {
  return [pulls(stand), pushes(stand), cold(stand)]
}

/** The images of the rounds, which the upstream has. */
function images(stand: Stand, rounds: number, what: 'pull' | 'push'): Promise<readonly Image[]> {
  return stand.once(`images ${what}`, async () => {
    const all: Image[] = []
    for (let round = 0; round < rounds; round += 1) {
      const seed = SEEDS[what] + round * 100
      const layers = Array.from({ length: LAYERS }, (_, layer) => ({
        seed: seed + layer + 1,
        size: MIB,
      }))
      const blobs = [{ seed, size: 2048 }, ...layers]
      const wish = { repository: REPOSITORIES.open, tags: [`${what}-${round}`], blobs }
      all.push(...(await stand.upstream.call('addImages', wish)))
    }
    return all
  })
}

function pulls(stand: Stand): Contest {
  const rounds = roundsOf(stand)
  const pull = (name: string, base: () => Promise<string>): Contender => ({
    name,
    ready: async () => {
      const from = await base()
      await images(stand, rounds, 'pull')
      return async (round) => {
        const wish = { base: from, token: undefined, tag: `pull-${round}`, clients: 1 }
        const { failures, milliseconds } = await stand.clients.call('pull', wish)
        if (failures.length > 0) throw new Error(failures.join(', '))
        return milliseconds
      }
    },
  })
  const of = pull('entrepot', async () => baseOf(await stand.entrepot(), REPOSITORIES.open))
  const proxy = pull('distribution, proxy', async () =>
    (await stand.proxy()).base(REPOSITORIES.open),
  )
  const bare: Contender = {
    name: 'bare Worker, fetches and R2 puts',
    ready: async () => {
      const all = await images(stand, rounds, 'pull')
      await stand.putLayer()
      return (round) => timed(() => inParallel(all[round]?.blobs ?? [], (blob) => stand.put(blob)))
    },
  }
  const row = `cold pull of an image of ${LAYERS} MiB in ${LAYERS} layers`
  return {
    unit: 'ms',
    rounds,
    comparisons: [
      { row, of, against: bare },
      { row, of, against: proxy },
    ],
  }
}

function pushes(stand: Stand): Contest {
  const rounds = roundsOf(stand)
  const push = (name: string, base: () => Promise<string>): Contender => ({
    name,
    ready: async () => {
      const to = await base()
      const all = await images(stand, rounds, 'push')
      return (round) =>
        timed(async () => {
          const image = at(all, round)
          const wish = { base: to, tag: `push-${round}`, image, way: 'stream' } as const
          const { failures } = await stand.clients.call('pushImage', wish)
          if (failures.length > 0) throw new Error(failures.join(', '))
        })
    },
  })
  const bare: Contender = {
    name: 'bare Worker, R2 puts',
    ready: async () => {
      const all = await images(stand, rounds, 'push')
      const base = `${(await stand.floor()).origin}${FLOOR_PATHS.put}`
      return (round) =>
        timed(() => stand.clients.call('put', { ...at(all, round), base, parallel: PARALLEL }))
    },
  }
  const of = push('entrepot', async () => `${(await stand.entrepot()).origin}/v2/hosted/pushed`)
  const reference = push('distribution', async () => (await stand.reference()).base('bench/pushed'))
  const row = `push of an image of ${LAYERS} MiB in ${LAYERS} layers`
  return {
    unit: 'ms',
    rounds,
    comparisons: [
      { row, of, against: bare },
      { row, of, against: reference },
    ],
  }
}

function cold(stand: Stand): Contest {
  const size = stand.isQuick ? LARGE / 10 : LARGE
  const rounds = roundsOf(stand)
  const layers = (): Promise<readonly AddressedBlob[]> =>
    stand.once('cold', async () => {
      const all: AddressedBlob[] = []
      for (let round = 0; round < rounds; round += 1) {
        all.push(await stand.upstream.call('addBlob', { seed: SEEDS.large + round, size }))
      }
      return all
    })
  const fetched = (name: string, base: () => Promise<string>): Contender => ({
    name,
    ready: async () => {
      const [all, from] = [await layers(), await base()]
      return async (round) => {
        const { digest } = at(all, round)
        const target = targetOf({ url: `${from}/blobs/${digest}`, size })
        const { milliseconds } = await stand.load.call('once', target)
        // Not part of the time: hashing takes a core.
        const found = await stand.load.call('digest', target)
        if (found !== digest) throw new Error(`the body has the digest ${found}`)
        return milliseconds
      }
    },
  })
  const of = fetched('entrepot', async () => baseOf(await stand.entrepot(), REPOSITORIES.open))
  const proxy = fetched('distribution, proxy', async () =>
    (await stand.proxy()).base(REPOSITORIES.open),
  )
  const put: Contender = {
    name: 'bare Worker, one R2 put',
    ready: async () => {
      const all = await layers()
      const base = `${(await stand.floor()).origin}${FLOOR_PATHS.put}`
      return (round) =>
        timed(() => stand.clients.call('put', { blobs: [at(all, round)], base, parallel: 1 }))
    },
  }
  const fetchAndPut: Contender = {
    name: 'bare Worker, a fetch and an R2 put',
    ready: async () => {
      const all = await layers()
      await stand.putLayer()
      return (round) => stand.put(at(all, round))
    },
  }
  const row = `cold blob of ${size / MB} MB`
  return {
    unit: 'ms',
    rounds,
    comparisons: [
      { row, of, against: put, target: TARGET },
      { row, of, against: fetchAndPut },
      { row, of, against: proxy },
    ],
  }
}

function roundsOf({ isQuick }: Stand): number {
  return isQuick ? 2 : ROUNDS
}

function at<Each>(all: readonly Each[], index: number): Each {
  const each = all[index]
  if (each === undefined) throw new Error(`there is no round ${index}`)
  return each
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

async function inParallel<Each>(
  all: readonly Each[],
  work: (each: Each) => Promise<unknown>,
): Promise<void> {
  const queue = [...all]
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (let each = queue.shift(); each !== undefined; each = queue.shift()) await work(each)
    }),
  )
}
