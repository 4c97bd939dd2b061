// `/_/api/storage`: how much is mirrored, as a job has last measured it, and how much may be.

import { bytesOf } from '../meter/storage.ts'
import { RegistryError } from '../oci/error.ts'
import { show, timestamp } from './admin.ts'
import type { Call, Route } from './admin.ts'

/** Of storage. */
export const STORAGE_ROUTES: readonly Route[] = [
  {
    path: /^\/_\/api\/storage$/,
    endpoint: 'storage',
    methods: { GET: getStorage, HEAD: getStorage },
  },
]

/** The hosts with the most bytes come first; no `measuredAt`: nobody has measured yet. */
async function getStorage({ visit }: Call): Promise<Response> {
  const { meter, config } = visit.services
  const figures = await meter.storage().catch((cause: unknown) => {
    throw new RegistryError('UNKNOWN', { status: 503, message: 'the meter is away', cause })
  })
  const hosts = Object.entries(figures?.hosts ?? {})
    .map(([host, { bytes, objects }]) => ({ host, bytes, objects }))
    .toSorted((a, b) => b.bytes - a.bytes)
  return show(visit, 200, {
    measuredAt: timestamp(figures?.at),
    bytes: figures === undefined ? 0 : bytesOf(figures),
    target: config.storage?.target,
    low: config.storage?.low,
    hosts,
  })
}
