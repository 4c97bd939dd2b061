// Objects that lose their state while R2 keeps what it has.

import { evictAllDurableObjects, listDurableObjectIds, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'

const ALL = [
  'HOSTED_LEDGER',
  'UPLOAD_SESSION',
  'BLOB_CLAIMS',
  'AUTHORITY',
  'METER',
  'MIRROR_LEDGER',
  'BLOB_FILL',
  'UPSTREAM_GATE',
] as const

/** Empties every object of these classes, and their memory. */
export async function loseState(bindings: readonly (typeof ALL)[number][] = ALL): Promise<void> {
  for (const binding of bindings) {
    const namespace: DurableObjectNamespace = env[binding]
    for (const id of await listDurableObjectIds(namespace)) {
      await runInDurableObject(namespace.get(id), async (_, { storage }) => {
        await storage.deleteAlarm()
        await storage.deleteAll()
      })
    }
  }
  await evictAllDurableObjects()
}
