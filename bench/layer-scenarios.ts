// One large layer: five clients at once, with and without a cap on the link, a client that comes late, and
// the time to the first byte by size.

import { setTimeout as sleep } from 'node:timers/promises'

import type { AddressedBlob } from './content.ts'
import type { Reading } from './reader.ts'
import type { Plain, Row } from './row.ts'
import { MB, MIB, type Scenario } from './scenario.ts'
import { rowOf } from './stage.ts'
import { describeTime } from './table.ts'

const CLIENTS = 5
const CAP = 50 * MB
const LATE_RATE = 20 * MB

/** Five clients on one layer, the link uncapped and capped. */
export const layerScenarios: readonly Scenario[] = [undefined, CAP].map((rate) => ({
  name: rate === undefined ? 'layer' : 'capped',
  about: `5 clients on one layer of 200 MB, ${rate === undefined ? 'uncapped' : 'at 50 MB/s'}`,
  prepare: async (stage) => {
    const { digest, size } = await stage.upstream.call('addBlob', {
      seed: 200,
      size: Math.floor((200 * MB) / stage.scale),
    })
    await stage.upstream.call('setRate', rate)
    const plain = await stage.plain([{ digest, size }], rate)
    const name = `${CLIENTS} clients, ${size / MB} MB${rate === undefined ? '' : ' at 50 MB/s'}`
    return async (subject) => {
      const wish = { base: subject.base('bench/layer'), token: undefined, digest, clients: CLIENTS }
      const seen = await stage.observe(subject, () => stage.clients.call('blob', wish))
      const minimum = { tokens: 1, blobGets: 1, bytes: size }
      return [rowOf({ name, by: subject, minimum }, seen, { plain, ...summary(seen.value) })]
    }
  },
}))

/** A client that joins when half of a blob has arrived. */
export const lateScenario: Scenario = {
  name: 'late',
  about: 'a second client joins 1 GiB that arrives at 20 MB/s when half is there',
  prepare: async (stage) => {
    const wanted = { seed: 1024, size: (1024 * MIB) / stage.scale }
    const { digest, size } = await stage.upstream.call('addBlob', wanted)
    await stage.upstream.call('setRate', LATE_RATE)
    const plain = await stage.plain([{ digest, size }], LATE_RATE)
    return async (subject) => {
      const wish = { base: subject.base('bench/late'), token: undefined, digest, clients: 1 }
      const seen = await stage.observe(subject, async () => {
        const first = stage.clients.call('blob', wish)
        // Half may never arrive: then the first client ends, and so does the waiting.
        const over = new AbortController()
        void first.finally(() => over.abort())
        while (!over.signal.aborted) {
          if ((await stage.upstream.call('tally', undefined)).bytes >= size / 2) break
          await sleep(50)
        }
        const [early, late] = await Promise.all([first, stage.clients.call('blob', wish)])
        return { early, late }
      })
      const { early, late } = seen.value
      const notes = [
        ...late.map((each) => `late client: headers ${describeTime(each.headers)}`),
        ...late.map(({ gap }) => `longest gap ${describeTime(gap)}`),
        ...early.map(({ gap }) => `of the first client ${describeTime(gap)}`),
      ]
      const about = {
        name: `late joiner, ${size / MIB} MiB at 20 MB/s`,
        by: subject,
        minimum: { tokens: 1, blobGets: 1, bytes: size },
      }
      const { failures } = summary([...early, ...late])
      return [rowOf(about, seen, { plain, failures, notes, firstBytes: summary(late).firstBytes })]
    }
  },
}

/** Layers of 1 MB, 100 MB and 1 GB, one client each. */
export const firstByteScenario: Scenario = {
  name: 'first-byte',
  about: 'time to the first byte of layers of 1 MB, 100 MB and 1 GB',
  prepare: async (stage) => {
    const layers: { readonly blob: AddressedBlob; readonly plain: Plain }[] = []
    for (const size of [MB, 100 * MB, 1000 * MB]) {
      const wanted = { seed: size, size: Math.floor(size / stage.scale) }
      const blob = await stage.upstream.call('addBlob', wanted)
      layers.push({ blob, plain: await stage.plain([blob]) })
    }
    return async (subject) => {
      const rows: Row[] = []
      for (const { blob, plain } of layers) {
        const { digest, size } = blob
        const wish = { base: subject.base('bench/first'), token: undefined, digest, clients: 1 }
        const seen = await stage.observe(subject, () => stage.clients.call('blob', wish))
        const about = {
          name: `1 client, layer of ${size / MB} MB`,
          by: subject,
          minimum: { tokens: rows.length === 0 ? 1 : 0, blobGets: 1, bytes: size },
        }
        rows.push(rowOf(about, seen, { plain, ...summary(seen.value) }))
      }
      return rows
    }
  },
}

/** What several clients saw, for a row. */
export function summary(readings: readonly Reading[]): {
  readonly firstBytes: readonly number[]
  readonly failures: readonly string[]
} {
  return {
    firstBytes: readings.map(({ firstByte }) => firstByte),
    failures: readings.flatMap(({ failure }) => failure ?? []),
  }
}
