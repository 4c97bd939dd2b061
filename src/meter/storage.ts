// How much is mirrored, as a job has last measured it.

import type { Series } from './series.ts'
import { seriesOf } from './series.ts'

/** Objects of one host, and their bytes. */
export interface HostStorage {
  readonly bytes: number
  readonly objects: number
}

/** What was mirrored at a time (milliseconds), by host. */
export interface StorageFigures {
  readonly at: number
  readonly hosts: Readonly<Record<string, HostStorage>>
}

/** All bytes. */
export function bytesOf({ hosts }: StorageFigures): number {
  return Object.values(hosts).reduce((sum, { bytes }) => sum + bytes, 0)
}

/** As gauges: sizes once they were measured, and the target (bytes) where there is one. */
export function storageSeries(
  figures: StorageFigures | undefined,
  target: number | undefined,
): Series {
  const { hosts = {} } = figures ?? {}
  const sizes = Object.entries(hosts).map(
    ([host, { bytes }]) => [seriesOf('entrepot_storage_bytes', host), bytes] as const,
  )
  return {
    ...Object.fromEntries(sizes),
    ...(target !== undefined && { [seriesOf('entrepot_storage_target_bytes')]: target }),
  }
}
