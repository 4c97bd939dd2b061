// The floor itself: what the bare Worker's single operations take, against an answer from memory.

import type { Comparison, Contender, Contest } from './contest.ts'
import { FLOOR_PATHS } from './floor-paths.ts'
import { type Question, rate, roundsOf } from './rate.ts'
import { LAYER, type Stand } from './stand.ts'

/** Contenders of the bare Worker; each is the same one in whatever it is compared with. */
export interface Floor {
  readonly memory: Contender
  readonly kv: Contender
  readonly head: Contender
  readonly get: Contender
  readonly proxy: Contender
}

/** The bare Worker's operations. */
export function floorOf(stand: Stand): Floor {
  const ask = async (path: string): Promise<Question> => {
    const { origin, pid } = await stand.floor()
    return { url: `${origin}${path}`, pid }
  }
  const manifest = async (path: string): Promise<Question> => ({
    ...(await ask(path)),
    body: Buffer.from((await stand.image()).manifest),
  })
  return {
    memory: rate(stand, 'bare Worker, from memory', () => manifest(FLOOR_PATHS.memory)),
    kv: rate(stand, 'bare Worker, one KV read', () => manifest(FLOOR_PATHS.kv)),
    proxy: rate(stand, 'bare Worker, one fetch', () => manifest(FLOOR_PATHS.proxy)),
    head: rate(stand, 'bare Worker, one R2 head', async () => ({
      ...(await ask(`${FLOOR_PATHS.head}${await stand.putLayer()}`)),
      method: 'HEAD',
    })),
    get: rate(stand, 'bare Worker, one R2 get', async () => ({
      ...(await ask(`${FLOOR_PATHS.get}${await stand.putLayer()}`)),
      body: await stand.layer(),
    })),
  }
}

/** Its operations against each other. */
export function floorContests(stand: Stand, floor: Floor): readonly Contest[] {
  const size = `${LAYER.size / 1024} KiB`
  const row = (name: string, of: Contender): Comparison => ({
    row: `floor: ${name}`,
    of,
    against: floor.memory,
  })
  const comparisons = [
    row('one KV read', floor.kv),
    row('one R2 head', floor.head),
    row(`one R2 get of ${size}`, floor.get),
    row('one plain proxy fetch', floor.proxy),
  ]
  return [{ unit: 'requests/s', rounds: roundsOf(stand), comparisons }]
}
