// The state behind hosted objects, used within a real object: its SQLite, alarm and R2 are real, the clock
// stands still until a test moves it, and a test decides what fails and who else is asked.

import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { Claims } from '../../src/hosted/claims.ts'
import type { Content } from '../../src/hosted/claims.ts'
import { RepositoryLedger } from '../../src/hosted/ledger.ts'
import type { ManifestPut, RepositoryLedgerGiven } from '../../src/hosted/ledger.ts'
import { FREE } from '../../src/hosted/tag-rules.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { hostedContentKey } from '../../src/storage/keys.ts'
import { ManifestStore } from '../../src/storage/manifests.ts'
import { RepositoryMarkers } from '../../src/storage/repositories.ts'
import { broken } from './broken.ts'
import { repository } from './parsed.ts'

/** Bytes, their digest, and the upload that has stored them. */
export interface Uploaded {
  readonly digest: Digest
  readonly content: Content
  readonly bytes: Uint8Array
}

/** Bytes that no other call gives. */
export function freshBytes(size = 100): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(size))
}

/** Stores bytes as an upload does that has verified them. */
export async function store(bytes = freshBytes()): Promise<Uploaded> {
  const content = { id: crypto.randomUUID(), size: bytes.byteLength }
  await env.BLOBS.put(hostedContentKey(content.id), bytes)
  return { digest: await digestOf(bytes), content, bytes }
}

/** Whether the bytes of an upload are in R2. */
export async function isStored({ id }: Content): Promise<boolean> {
  return (await env.BLOBS.head(hostedContentKey(id))) !== null
}

/** Keys in R2, in order. */
export async function keys(prefix: string): Promise<readonly string[]> {
  const { objects } = await env.BLOBS.list({ prefix })
  return objects.map(({ key }) => key)
}

/** Whatever waits for storage alone, and not for its turn, has every chance to go on. */
export async function everyChance(): Promise<void> {
  for (let time = 0; time < 10; time++) await env.BLOBS.head('nothing')
}

/** What every object is used with. */
export interface Kept {
  readonly storage: DurableObjectStorage
  /** Lets time pass (milliseconds). */
  readonly pass: (milliseconds: number) => void
  /** Tables that exist, and the alarm. */
  readonly traces: () => Promise<readonly string[]>
  /** The alarm, counted from now (milliseconds). */
  readonly alarmIn: () => Promise<number | undefined>
  /** What was logged. */
  readonly events: readonly string[]
}

/** Claims within their object; `restart` makes them anew, with what is stored. */
export interface KeptClaims extends Kept {
  readonly claims: Claims
  readonly restart: () => Claims
}

/** Uses the claims of a digest within their object. */
export async function keepClaims(
  digest: Digest,
  use: (kept: KeptClaims) => Promise<void>,
  methods: Readonly<Record<string, (...args: never[]) => unknown>> = {},
): Promise<void> {
  await runInDurableObject(env.BLOB_CLAIMS.getByName(digest), async (_, { storage }) => {
    const { kept, seams } = keep(storage)
    const bucket = broken(env.BLOBS, methods)
    const restart = () => new Claims({ storage, bucket, ...seams })
    await use({ ...kept, claims: restart(), restart })
  })
}

/** What a test replaces of what a ledger is given, and methods of R2 that fail. */
export interface LedgerChanges extends Partial<Pick<RepositoryLedgerGiven, 'claimsOf'>> {
  readonly methods?: Readonly<Record<string, (...args: never[]) => unknown>>
}

/** A ledger within its object. */
export interface KeptLedger extends Kept {
  readonly ledger: RepositoryLedger
  readonly restart: () => RepositoryLedger
  /** Waits for what answers do not wait for. */
  readonly settle: () => Promise<void>
  readonly rows: (query: string) => readonly Readonly<Record<string, SqlStorageValue>>[]
}

/** Uses the ledger of a repository within its object. */
export async function keepLedger(
  name: string,
  use: (kept: KeptLedger) => Promise<void>,
  { methods = {}, ...changed }: LedgerChanges = {},
): Promise<void> {
  await runInDurableObject(env.HOSTED_LEDGER.getByName(name), async (_, { storage }) => {
    const { kept, seams, settle } = keep(storage)
    const bucket = broken(env.BLOBS, methods)
    const restart = () =>
      new RepositoryLedger({
        repository: repository(name),
        storage,
        bucket,
        manifests: new ManifestStore(bucket),
        markers: new RepositoryMarkers(bucket),
        claimsOf: (digest) => env.BLOB_CLAIMS.getByName(digest),
        ...seams,
        ...changed,
      })
    const rows = (query: string) => storage.sql.exec(query).toArray()
    await use({ ...kept, ledger: restart(), restart, settle, rows })
    await settle()
  })
}

/** A manifest of its own that names these, as the ledger is given it. */
export async function manifestPut(
  needs: Partial<ManifestPut['needs']> = {},
  changed: Partial<ManifestPut> = {},
): Promise<ManifestPut> {
  const { blobs = [], manifests = [] } = needs
  const bytes = new TextEncoder().encode(JSON.stringify({ id: crypto.randomUUID() }))
  return {
    digest: await digestOf(bytes),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    bytes,
    children: [...blobs, ...manifests],
    tags: [],
    referrer: undefined,
    needs: { blobs, manifests },
    tagRules: FREE,
    ...changed,
  }
}

function keep(storage: DurableObjectStorage) {
  let now = Date.now()
  const events: string[] = []
  const deferred: Promise<unknown>[] = []
  const kept: Kept = {
    storage,
    pass: (milliseconds) => {
      now += milliseconds
    },
    traces: async () => [
      ...storage.sql
        .exec<{ name: string }>(`SELECT name FROM sqlite_master WHERE type = 'table'`)
        .toArray()
        // The platform's own.
        .flatMap(({ name }) => (name.startsWith('_cf_') ? [] : [name])),
      ...((await storage.getAlarm()) === null ? [] : ['alarm']),
    ],
    alarmIn: async () => {
      const at = await storage.getAlarm()
      return at === null ? undefined : at - now
    },
    events,
  }
  const seams = {
    now: () => now,
    defer: (work: Promise<unknown>) => void deferred.push(work.catch(() => undefined)),
    log: (event: string) => void events.push(event),
  }
  return { kept, seams, settle: async () => void (await Promise.all(deferred.splice(0))) }
}
