// The version of what an object keeps by key, as `schema.ts` has it for tables. What has no version is of the first
// one. A key more changes no version; a value that reads otherwise does.

import { SchemaError } from './schema.ts'

/** Behind every other key: whoever reads pages of keys finds it in the last one, if at all. */
const KEY = '~schema'

/** What is kept under keys. */
export interface KeyVersion {
  /** That of this release. */
  readonly version: number
  /** What becomes of state that a newer release has written: a cache may be emptied, property is refused. */
  readonly newer: 'empty' | 'refuse'
}

/** The keys of an object without their version, which is written with the first of them: reading leaves no trace. */
export function versionedKeys(kv: SyncKvStorage, { version, newer }: KeyVersion): SyncKvStorage {
  let isKnown = false
  const opened = (): SyncKvStorage => {
    isKnown ||= isReadable(kv, { version, newer })
    return kv
  }
  return {
    get: (key) => opened().get(key),
    list: (options = {}) => withoutVersion(opened(), options),
    put: (key, value) => {
      // Looked for each time: the object may have been emptied since.
      if (opened().get(KEY) === undefined) kv.put(KEY, version)
      kv.put(key, value)
    },
    delete: (key) => opened().delete(key),
  }
}

/** @throws {SchemaError} on property that a newer release has written. */
function isReadable(kv: SyncKvStorage, { version, newer }: KeyVersion): true {
  const found = kv.get<number>(KEY) ?? 1
  if (found <= version) return true
  if (newer === 'refuse') {
    throw new SchemaError(
      `this object has version ${found} of its keys and this release knows ${version} at most: a newer release has written it`,
    )
  }
  for (const key of Array.from(kv.list(), ([each]) => each)) kv.delete(key)
  return true
}

function* withoutVersion<Value>(
  kv: SyncKvStorage,
  options: SyncKvListOptions,
): Iterable<[string, Value]> {
  for (const entry of kv.list<Value>(options)) if (entry[0] !== KEY) yield entry
}
