// Memory: 2 GiB through one fill with eight clients, one of them stopped, and ten fills at once. The runtime
// also holds the storage simulator, so the same bytes are put plainly, and read when they are stored.

import type { AddressedBlob } from './content.ts'
import { summary } from './layer-scenarios.ts'
import type { Row } from './row.ts'
import { MIB, type Scenario } from './scenario.ts'
import type { Stage } from './stage.ts'
import { rowOf } from './stage.ts'
import type { Subject } from './subject.ts'

const READERS = 7
const FILLS = 10

/** A large blob and many blobs. */
export const memoryScenario: Scenario = {
  name: 'memory',
  about: '2 GiB with 8 clients, one stopped; ten fills of 200 MiB at once',
  prepare: async (stage) => {
    const wanted = { seed: 2048, size: (2048 * MIB) / stage.scale }
    const large = await stage.upstream.call('addBlob', wanted)
    const many: AddressedBlob[] = []
    for (let seed = 0; seed < FILLS; seed++) {
      const size = (200 * MIB) / stage.scale
      many.push(await stage.upstream.call('addBlob', { seed: 3000 + seed, size }))
    }
    const bare = await stage.plainSubject()
    const puts = [
      await putRow(stage, bare, [large], `plain put, ${large.size / MIB} MiB`),
      await putRow(stage, bare, many, `${FILLS} plain puts at once`),
    ]
    let isTold = false
    return async (subject) => {
      const rows = [
        await eightClients(stage, subject, large),
        await tenFills(stage, subject, many),
        await eightClients(stage, subject, large, 'warm'),
      ]
      if (isTold) return rows
      isTold = true
      return [...rows, ...puts]
    }
  },
}

async function eightClients(
  stage: Stage,
  subject: Subject,
  { digest, size }: AddressedBlob,
  how: 'cold' | 'warm' = 'cold',
): Promise<Row> {
  const wish = { base: subject.base('bench/memory'), token: undefined, digest }
  const seen = await stage.observe(subject, async () => {
    const stalled = stage.clients.call('stall', { ...wish, clients: 1 })
    const reads = stage.clients.call('blob', { ...wish, clients: READERS })
    const [readings] = await Promise.all([reads, stalled])
    return readings
  })
  await stage.clients.call('release', undefined)
  const minimum = how === 'warm' ? {} : { tokens: 1, blobGets: 1, bytes: size }
  const name = `8 clients, 1 stopped, ${size / MIB} MiB${how === 'warm' ? ', warm' : ''}`
  return rowOf({ name, by: subject, minimum }, seen, summary(seen.value))
}

async function tenFills(
  stage: Stage,
  subject: Subject,
  blobs: readonly AddressedBlob[],
): Promise<Row> {
  const wish = { base: subject.base('bench/memory'), token: undefined, clients: 1 }
  const seen = await stage.observe(subject, async () => {
    const all = blobs.map(({ digest }) => stage.clients.call('blob', { ...wish, digest }))
    return (await Promise.all(all)).flat()
  })
  const bytes = blobs.reduce((sum, { size }) => sum + size, 0)
  const about = {
    name: `${FILLS} fills at once, ${bytes / MIB} MiB in all`,
    by: subject,
    minimum: { blobGets: FILLS, bytes },
  }
  return rowOf(about, seen, summary(seen.value))
}

async function putRow(
  stage: Stage,
  bare: Subject,
  blobs: readonly AddressedBlob[],
  name: string,
): Promise<Row> {
  const digests = blobs.map(({ digest }) => digest)
  const bytes = blobs.reduce((sum, { size }) => sum + size, 0)
  const seen = await stage.observe(bare, () => stage.putAll(digests, blobs.length))
  return rowOf({ name, by: bare, minimum: { blobGets: blobs.length, bytes } }, seen, {})
}
