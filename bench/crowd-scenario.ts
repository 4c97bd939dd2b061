// Three hundred clients, sixty of them stopped, come one after the other while a blob arrives slowly. What
// they cost is told apart: the same reads of the stored blob, and the same fill for one client.

import type { Row } from './row.ts'
import { MIB, type Scenario } from './scenario.ts'
import { summary } from './layer-scenarios.ts'
import { rowOf } from './stage.ts'
import { describeTime } from './table.ts'

const READERS = 240
const STOPPED = 60
const SIZE = 32 * MIB
const SECONDS = 30

/** 300 clients on one fill. */
export const crowdScenario: Scenario = {
  name: 'crowd',
  about: '300 clients, 60 of them stopped, join over 30 s of a fill of 32 MiB',
  withoutPeer: 'it fetches the blob for each of 300 clients, which takes 2.5 h on this link',
  prepare: async (stage) => {
    const size = SIZE / stage.scale
    const rate = SIZE / SECONDS
    const over = (SECONDS * 1000) / stage.scale
    const one = await stage.upstream.call('addBlob', { seed: 31, size })
    const other = await stage.upstream.call('addBlob', { seed: 32, size })
    await stage.upstream.call('setRate', rate)
    const plain = await stage.plain([one], rate)
    return async (subject) => {
      const from = { base: subject.base('bench/crowd'), token: undefined }
      const read = (digest: string, clients: number, time: number) =>
        stage.clients.call('blob', { ...from, digest, clients, over: time })
      const stall = { ...from, digest: one.digest, clients: STOPPED, over }
      const row = async (
        name: string,
        minimum: { readonly tokens?: number; readonly blobGets?: number; readonly bytes?: number },
        work: () => ReturnType<typeof read>,
      ): Promise<Row> => {
        const seen = await stage.observe(subject, work)
        const gap = Math.max(...seen.value.map((each) => each.gap))
        const notes = [`longest gap ${describeTime(gap)}`]
        return rowOf({ name, by: subject, minimum }, seen, {
          plain,
          notes,
          ...summary(seen.value),
        })
      }
      const minimum = { blobGets: 1, bytes: size }
      const cold = await row('300 clients, 60 stopped', { tokens: 1, ...minimum }, async () => {
        const stalled = stage.clients.call('stall', stall)
        const [readings] = await Promise.all([read(one.digest, READERS, over), stalled])
        return readings
      })
      await stage.clients.call('release', undefined)
      const warm = await row('— 240 reads of it, warm', {}, () =>
        read(one.digest, READERS, over / 4),
      )
      const alone = await row('— 1 client, the same fill', minimum, () => read(other.digest, 1, 0))
      const aloneWarm = await row('— 1 read of it, warm', {}, () => read(other.digest, 1, 0))
      return [cold, warm, alone, aloneWarm]
    }
  },
}
