// Pushes: a large blob in every way that clients send one, many at once, one blob from many clients, and an
// image. Whatever was pushed is read again, and its digest checked.

import { type AddressedBlob, addressBlob, imageOf } from './content.ts'
import type { HostedSubject } from './hosted-subject.ts'
import { type MemoryUsage, totalOf } from './isolate.ts'
import { summary } from './layer-scenarios.ts'
import type { PushRow } from './push-row.ts'
import type { Pushed, Way } from './pusher.ts'
import { MB, MIB, type Scenario } from './scenario.ts'
import { type Stage, middle, rowOf } from './stage.ts'
import { inMiB } from './table.ts'

const REPOSITORY = 'bench/push'

/** What an isolate of Cloudflare may hold (bytes). */
const ISOLATE_LIMIT = 128 * MB
/** Two parts of storage: what a larger blob may leave more than a small one is noise below that (bytes). */
const FLAT = 16 * MIB

/** A blob, and one beside it that is eight times as large. */
const SIZES = [256 * MIB, 2048 * MIB]
const LESSER_SIZES = [64 * MIB, 512 * MIB]
const TOGETHER = 10
const SERIES = 30
const SAME = 50
const LAYERS = 10
/** Blobs that clients push at once: docker, and containerd. */
const PARALLEL = { docker: 5, containerd: 3 } as const

/** What is to be said of a row, and what is wrong with it. */
type Check = Partial<Pick<PushRow, 'notes' | 'failures'>>

type PushScenario = Scenario<HostedSubject, PushRow>

interface Sort {
  readonly name: string
  readonly way: Way
  readonly about: string
  readonly sizes: readonly number[]
}

/** Every way that clients send a blob. */
const WAYS: readonly Sort[] = [
  {
    name: 'stream',
    way: 'stream',
    about: 'one PATCH without a length, then PUT (docker)',
    sizes: SIZES,
  },
  { name: 'chunks', way: { chunk: 8 * MIB }, about: 'PATCHes of 8 MiB, then PUT', sizes: SIZES },
  { name: 'chunks-1', way: { chunk: MIB }, about: 'PATCHes of 1 MiB, then PUT', sizes: SIZES },
  {
    name: 'put',
    way: 'put',
    about: 'POST, then one PUT with a length (containerd)',
    sizes: LESSER_SIZES,
  },
  { name: 'post', way: 'post', about: 'one POST with a digest and a length', sizes: LESSER_SIZES },
]

/** What a plain put of so many bytes took in this run (milliseconds). */
const plainPuts = new Map<number, number>()

const wayScenarios: readonly PushScenario[] = WAYS.map(({ name, way, about, sizes }) => ({
  name,
  about,
  prepare: async (stage) => {
    const blobs = sizes.map((size, seed) => addressBlob({ seed, size: size / stage.scale }))
    for (const blob of blobs) {
      const known = plainPuts.get(blob.size) ?? (await plainPut(stage, [blob]))
      plainPuts.set(blob.size, known)
    }
    return async (subject) => {
      const rows = await inTurn(blobs, (blob) =>
        pushRow(stage, subject, {
          name: `${blob.size / MIB} MiB, ${about}`,
          blobs: [blob],
          work: () => pushBlobs(stage, subject, [blob], { way }),
          put: plainPuts.get(blob.size),
        }),
      )
      const [small, large] = rows
      if (small === undefined || large === undefined) return rows
      return [small, checked(large, growthOf(small.memory, large.memory))]
    }
  },
}))

const togetherScenario: PushScenario = {
  name: 'together',
  about: `${TOGETHER} uploads of 200 MiB at once`,
  prepare: async (stage) => {
    const size = (200 * MIB) / stage.scale
    const blobs = Array.from({ length: TOGETHER }, (_, seed) => addressBlob({ seed, size }))
    const put = await plainPut(stage, blobs)
    return async (subject) => {
      const row = await pushRow(stage, subject, {
        name: `${TOGETHER} × ${size / MIB} MiB at once, as docker`,
        blobs,
        work: () => pushBlobs(stage, subject, blobs, { way: 'stream' }),
        put,
      })
      return [checked(row, excessOf(row.memory))]
    }
  },
}

const seriesScenario: PushScenario = {
  name: 'series',
  about: `${SERIES} uploads of 7 MiB, five at a time: whoever is done keeps no memory`,
  prepare: async (stage) => {
    const size = 7 * MIB
    const blobs = Array.from({ length: SERIES }, (_, seed) => addressBlob({ seed, size }))
    const put = await plainPut(stage, blobs, PARALLEL.docker)
    return async (subject) => {
      const row = await pushRow(stage, subject, {
        name: `${SERIES} × 7 MiB, ${PARALLEL.docker} at a time, as docker`,
        blobs,
        work: () => pushBlobs(stage, subject, blobs, { way: 'stream', parallel: PARALLEL.docker }),
        put,
      })
      return [checked(row, excessOf(row.memory))]
    }
  },
}

const sameScenario: PushScenario = {
  name: 'same',
  about: `${SAME} uploads of the same 4 MiB at once`,
  prepare: async (stage) => {
    const blob = addressBlob({ seed: 1, size: 4 * MIB })
    const blobs = Array.from({ length: SAME }, () => blob)
    const put = await plainPut(stage, blobs)
    return async (subject) => {
      const row = await pushRow(stage, subject, {
        name: `${SAME} × the same 4 MiB at once, as docker`,
        blobs: [blob],
        work: () => pushBlobs(stage, subject, blobs, { way: 'stream' }),
        put,
      })
      const { objects, bytes } = await subject.stored()
      const notes = [`stored: ${objects} × ${bytes / objects / MIB} MiB`]
      const failures = objects === 1 && bytes === blob.size ? [] : [`${objects} objects stored`]
      return [checked(row, { notes, failures })]
    }
  },
}

const imageScenario: PushScenario = {
  name: 'image',
  about: `an image of ${LAYERS} layers of 1 MiB, three blobs at a time; again; into another repository`,
  prepare: async (stage) => {
    const layers = Array.from({ length: LAYERS }, (_, seed) => ({ seed: seed + 1, size: MIB }))
    const image = imageOf([{ seed: 0, size: 2048 }, ...layers].map(addressBlob), 'bench')
    const { blobs } = image
    const put = await plainPut(stage, blobs, PARALLEL.containerd)
    return async (subject) => {
      const pushed = (name: string, repository: string, way: Way) => {
        const wish = { base: subject.base(repository), tag: '1.0', image, way }
        const work = () => stage.clients.call('pushImage', wish)
        return pushRow(stage, subject, { name, blobs, work, put, repository })
      }
      return [
        await pushed('image of 10 × 1 MiB, as docker', 'bench/docker', 'stream'),
        await pushed('— again', 'bench/docker', 'stream'),
        await pushed('— POST and PUT, as containerd', 'bench/containerd', 'put'),
      ]
    }
  },
}

/** Everything that is pushed. */
export const PUSH_SCENARIOS: readonly PushScenario[] = [
  ...wayScenarios,
  togetherScenario,
  seriesScenario,
  sameScenario,
  imageScenario,
]

/** Does it, counts it, and reads what was pushed. */
async function pushRow(
  stage: Stage,
  subject: HostedSubject,
  wish: {
    readonly name: string
    readonly blobs: readonly AddressedBlob[]
    readonly work: () => Promise<Pushed>
    readonly put: number | undefined
    readonly repository?: string
  },
): Promise<PushRow> {
  const { name, blobs, work, put, repository = REPOSITORY } = wish
  await subject.operations()
  const seen = await stage.observe(subject, work)
  const operations = await subject.operations()
  const { answers, failures } = seen.value
  const readings = await inTurn(blobs, ({ digest }) =>
    stage.clients.call('blob', {
      base: subject.base(repository),
      token: undefined,
      digest,
      clients: 1,
    }),
  )
  const unread = summary(readings.flat()).failures
  const row = rowOf({ name, by: subject }, seen, { failures: [...failures, ...unread] })
  const plain = put === undefined ? undefined : { fetch: put, put }
  return { ...row, plain, answers, operations, readBack: blobs.length - unread.length }
}

function pushBlobs(
  stage: Stage,
  subject: HostedSubject,
  blobs: readonly AddressedBlob[],
  { way, parallel = blobs.length }: { readonly way: Way; readonly parallel?: number },
): Promise<Pushed> {
  return stage.clients.call('push', { base: subject.base(REPOSITORY), blobs, way, parallel })
}

/** What plain R2 puts of these blobs take, so many at once (milliseconds). */
async function plainPut(
  stage: Stage,
  blobs: readonly AddressedBlob[],
  parallel = blobs.length,
): Promise<number> {
  for (const { seed, size } of blobs) await stage.upstream.call('addBlob', { seed, size })
  const digests = blobs.map(({ digest }) => digest)
  return middle(() => stage.putAll(digests, parallel))
}

/** Memory must not grow with the blob. */
function growthOf(small: MemoryUsage | undefined, large: MemoryUsage | undefined): Check {
  if (small === undefined || large === undefined) return {}
  if (small.live === undefined || large.live === undefined) {
    return { notes: ['too short for a garbage collection: memory is not compared'] }
  }
  const more = totalOf(large.live) - totalOf(small.live)
  return more <= FLAT ? {} : { failures: [`memory grows with the blob, by ${inMiB(more)} MiB`] }
}

/** Memory must stay below what an isolate may hold. */
function excessOf(memory: MemoryUsage | undefined): Check {
  const { live, peak } = memory ?? {}
  const most = live ?? peak
  if (most === undefined || totalOf(most) < ISOLATE_LIMIT) return {}
  return { failures: [`${inMiB(totalOf(most))} MiB are more than an isolate may hold`] }
}

function checked(row: PushRow, { notes = [], failures = [] }: Check): PushRow {
  return { ...row, notes: [...row.notes, ...notes], failures: [...row.failures, ...failures] }
}

async function inTurn<Each, Value>(
  all: readonly Each[],
  work: (each: Each) => Promise<Value>,
): Promise<Value[]> {
  const values: Value[] = []
  for (const each of all) values.push(await work(each))
  return values
}
