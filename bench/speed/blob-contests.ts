// Blobs that are there: HEAD, a small layer by sixteen connections, and one large layer, streamed and redirected.

import type { AddressedBlob, Blob } from '../content.ts'
import type { Comparison, Contender, Contest } from './contest.ts'
import type { Floor } from './floor-contests.ts'
import { FLOOR_PATHS } from './floor-paths.ts'
import { type Question, rate, roundsOf, targetOf } from './rate.ts'
import { MB } from '../scenario.ts'
import { LAYER, PUSHED, REDIRECTED, REPOSITORIES, type Stand, baseOf, keyOf } from './stand.ts'

const LARGE = 100 * MB
const LARGE_ROUNDS = 9
/** Of what the issue asks: against one R2 head, and one R2 get in bytes. */
const TARGETS = { head: 0.8, stream: 0.9 } as const

/** Whom a blob is asked of. */
type Kind = 'open' | 'closed' | 'reference' | 'proxy'

/** Warm blobs. */
export function blobContests(stand: Stand, floor: Floor): readonly Contest[] {
  return [heads(stand, floor), gets(stand, floor), large(stand), largeHosted(stand)]
}

function heads(stand: Stand, floor: Floor): Contest {
  const head = (kind: Kind): Contender =>
    rate(stand, nameOf(kind), async () => ({ ...(await small(stand, kind)), method: 'HEAD' }))
  const [open, reference, proxy] = [head('open'), head('reference'), head('proxy')]
  const row = 'HEAD blob, anonymous'
  const token = 'HEAD blob, with a token'
  return {
    unit: 'requests/s',
    rounds: roundsOf(stand),
    comparisons: [
      { row, of: open, against: floor.head, target: TARGETS.head },
      { row, of: open, against: reference },
      { row, of: open, against: proxy },
      { row: token, of: head('closed'), against: floor.head, target: TARGETS.head },
    ],
  }
}

function gets(stand: Stand, floor: Floor): Contest {
  const get = (kind: Kind): Contender =>
    rate(stand, nameOf(kind), async () => ({
      ...(await small(stand, kind)),
      body: await stand.layer(),
    }))
  const sent = rate(stand, 'entrepot', async () => ({
    ...(await small(stand, 'open')),
    userAgent: REDIRECTED,
    status: 307,
    size: 0,
  }))
  const followed = rate(stand, 'entrepot', async () => ({
    ...(await small(stand, 'open')),
    userAgent: REDIRECTED,
    status: 307,
    size: 0,
    next: { body: await stand.layer() },
  }))
  const [streamed, reference, proxy] = [get('open'), get('reference'), get('proxy')]
  const size = `${LAYER.size / 1024} KiB`
  const row = `GET blob of ${size}`
  const comparisons: readonly Comparison[] = [
    { row: `${row}, streamed`, of: streamed, against: floor.get },
    { row: `${row}, streamed`, of: streamed, against: reference },
    { row: `${row}, streamed`, of: streamed, against: proxy },
    { row: `${row}, the 307 alone`, of: sent, against: floor.head },
    { row: `${row}, the 307 alone`, of: sent, against: reference },
    { row: `${row}, redirected and fetched`, of: followed, against: floor.get },
    { row: `${row}, redirected and fetched`, of: followed, against: reference },
  ]
  return { unit: 'requests/s', rounds: roundsOf(stand), comparisons }
}

function large(stand: Stand): Contest {
  const { size } = largeOf(stand)
  const ours = async (): Promise<Question> =>
    largeAt(stand, baseOf(await stand.entrepot(), REPOSITORIES.open))
  const bare = transfer(stand, 'bare Worker, one R2 get', async () => {
    const blob = await largeLayer(stand)
    await stand.put(blob)
    return { url: `${(await stand.floor()).origin}${FLOOR_PATHS.get}${keyOf(blob)}`, size }
  })
  const streamed = transfer(stand, 'entrepot', ours)
  const redirected = transfer(stand, 'entrepot', async () => {
    const asked = await ours()
    // What is not there yet is streamed.
    await stand.load.call('once', targetOf(asked))
    return { ...asked, userAgent: REDIRECTED, status: 307, size: 0, next: { size } }
  })
  const reference = transfer(stand, 'distribution', async () => {
    const base = (await stand.reference()).base(PUSHED)
    await pushLarge(stand, base)
    return largeAt(stand, base)
  })
  const proxy = transfer(stand, 'distribution, proxy', async () =>
    largeAt(stand, (await stand.proxy()).base(REPOSITORIES.open)),
  )
  const row = `layer of ${size / MB} MB`
  return {
    unit: 'MB/s',
    rounds: stand.isQuick ? 3 : LARGE_ROUNDS,
    comparisons: [
      { row: `${row}, streamed`, of: streamed, against: bare, target: TARGETS.stream },
      { row: `${row}, streamed`, of: streamed, against: reference },
      { row: `${row}, streamed`, of: streamed, against: proxy },
      { row: `${row}, redirected and fetched`, of: redirected, against: bare },
      { row: `${row}, redirected and fetched`, of: redirected, against: reference },
    ],
  }
}

/** What was pushed lies in R2 in parts, which this machine's R2 reads slowly. */
function largeHosted(stand: Stand): Contest {
  const { size } = largeOf(stand)
  const of = transfer(stand, 'entrepot', async () => {
    const base = `${(await stand.entrepot()).origin}/v2/${PUSHED}`
    await pushLarge(stand, base)
    return largeAt(stand, base)
  })
  const against = transfer(stand, 'bare Worker, one R2 get of an object in parts', async () => {
    const blob = await largeLayer(stand)
    await stand.put(blob, 'fetchAndPutParts')
    return { url: `${(await stand.floor()).origin}${FLOOR_PATHS.get}${keyOf(blob)}`, size }
  })
  const row = `hosted layer of ${size / MB} MB, streamed`
  return { unit: 'MB/s', rounds: 3, comparisons: [{ row, of, against }] }
}

function largeOf({ isQuick }: Stand): Blob {
  return { seed: 7, size: isQuick ? LARGE / 10 : LARGE }
}

function largeLayer(stand: Stand): Promise<AddressedBlob> {
  return stand.once('large', () => stand.upstream.call('addBlob', largeOf(stand)))
}

async function largeAt(stand: Stand, base: string): Promise<Question> {
  const { digest, size } = await largeLayer(stand)
  return { url: `${base}/blobs/${digest}`, size }
}

async function pushLarge(stand: Stand, base: string): Promise<void> {
  const wish = { base, blobs: [await largeLayer(stand)], way: 'put', parallel: 1 } as const
  const { failures } = await stand.clients.call('push', wish)
  if (failures.length > 0) throw new Error(failures.join(', '))
}

/** One client that gets one blob; its bytes are checked once, before. */
function transfer(stand: Stand, name: string, ask: () => Promise<Question>): Contender {
  return {
    name,
    ready: async () => {
      const target = targetOf(await ask())
      // Who has to fetch it first has it the second time.
      for (const _ of ['cold', 'warm']) {
        const found = await stand.load.call('digest', target)
        if (found !== (await largeLayer(stand)).digest)
          throw new Error(`the body has the digest ${found}`)
      }
      return async () => {
        const { bytes, milliseconds } = await stand.load.call('once', target)
        return bytes / MB / (milliseconds / 1000)
      }
    },
  }
}

/** The small layer of the image, of whoever it is. */
async function small(stand: Stand, kind: Kind): Promise<Question> {
  const path = `/blobs/${(await stand.layerBlob()).digest}`
  if (kind === 'reference' || kind === 'proxy') {
    const { base, pid } = await stand[kind]()
    return { url: `${base(kind === 'proxy' ? REPOSITORIES.open : PUSHED)}${path}`, pid }
  }
  const entrepot = await stand.entrepot()
  const repository = REPOSITORIES[kind]
  const asked = { url: `${baseOf(entrepot, repository)}${path}`, pid: entrepot.pid }
  return kind === 'open' ? asked : { ...asked, token: await entrepot.token(repository) }
}

function nameOf(kind: Kind): string {
  if (kind === 'reference') return 'distribution'
  return kind === 'proxy' ? 'distribution, proxy' : 'entrepot'
}
