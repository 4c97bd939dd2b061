// An image of ten layers: one client cold, warm, after the tag's TTL and with the upstream gone, and twenty
// clients at once.

import { setTimeout as sleep } from 'node:timers/promises'

import type { Pulled } from './client-process.ts'
import type { Image } from './content.ts'
import type { Row } from './row.ts'
import { MIB, type Scenario } from './scenario.ts'
import type { Observed, Stage } from './stage.ts'
import { rowOf } from './stage.ts'
import type { Subject } from './subject.ts'
import type { Minimum } from './tally.ts'

const CONFIG_SIZE = 2048
const LAYERS = 10
const HERD = 20

/** One client: cold, warm, after TTL, upstream gone. */
export const imageScenario: Scenario = {
  name: 'image',
  about: '1 client, 10 layers of 1 MiB: cold, warm, after TTL, upstream gone',
  prepare: async (stage) => {
    const image = await addImage(stage, 'bench/image')
    const plain = await stage.plain(image.blobs)
    return async (subject) => {
      const pull = () => pullAll(stage, subject, { repository: 'bench/image', clients: 1 })
      const row = (name: string, minimum: Partial<Minimum>, seen: Observed<Pulled>): Row =>
        rowOf({ name, by: subject, minimum }, seen, { plain, ...seen.value })
      const expire = () => sleep(stage.tagTTL * 1000 + 500)
      const rows = [
        row('1 client, cold', minimumOfCold(image), await pull()),
        row('1 client, warm', {}, await pull()),
      ]
      await expire()
      rows.push(row('1 client, after TTL', { manifestHeads: 1 }, await pull()))
      await expire()
      await stage.upstream.call('stop', undefined)
      try {
        rows.push(row('1 client, upstream gone', {}, await pull()))
      } finally {
        await stage.upstream.call('listen', undefined)
      }
      return rows
    }
  },
}

/** Twenty clients at once. */
export const herdScenario: Scenario = {
  name: 'herd',
  about: '20 clients cold at once, 10 layers of 1 MiB',
  prepare: async (stage) => {
    const image = await addImage(stage, 'bench/herd')
    const plain = await stage.plain(image.blobs)
    return async (subject) => {
      const seen = await pullAll(stage, subject, { repository: 'bench/herd', clients: HERD })
      const about = { name: `${HERD} clients, cold`, by: subject, minimum: minimumOfCold(image) }
      return [rowOf(about, seen, { plain, ...seen.value })]
    }
  },
}

async function addImage(stage: Stage, repository: string): Promise<Image> {
  const layers = Array.from({ length: LAYERS }, (_, seed) => ({
    seed: seed + 1,
    size: Math.max(MIB / stage.scale, 1024),
  }))
  const blobs = [{ seed: 0, size: CONFIG_SIZE }, ...layers]
  const [image] = await stage.upstream.call('addImages', { repository, tags: ['1.0'], blobs })
  if (image === undefined) throw new Error('there is no image')
  return image
}

function pullAll(
  stage: Stage,
  subject: Subject,
  { repository, clients }: { readonly repository: string; readonly clients: number },
): Promise<Observed<Pulled>> {
  const wish = { base: subject.base(repository), token: undefined, tag: '1.0', clients }
  return stage.observe(subject, () => stage.clients.call('pull', wish))
}

function minimumOfCold({ blobs, manifest }: Image): Partial<Minimum> {
  const bytes = blobs.reduce((sum, { size }) => sum + size, Buffer.byteLength(manifest))
  return { tokens: 1, manifestGets: 1, blobGets: blobs.length, bytes }
}
