// What stands in the rows of the registry's objects, read past the objects themselves.

import type { RepositoryName } from '../../src/oci/repository-name.ts'
import type { Disk } from './disk.ts'
import type { Registry } from './registry.ts'
import { REPOSITORIES, claimsOf, ledgerOf } from './registry.ts'
import { BLOBS } from './contents.ts'

/** A blob's row; without content it is being claimed. */
export interface BlobRow {
  readonly digest: string
  readonly content: string | undefined
}

/** What a ledger says. */
export interface LedgerState {
  readonly repository: RepositoryName
  readonly blobs: readonly BlobRow[]
  readonly held: ReadonlyMap<string, string>
  readonly manifests: readonly string[]
  readonly children: readonly { readonly manifest: string; readonly digest: string }[]
  readonly tags: ReadonlyMap<string, string>
  /** Messages and deletions that wait. */
  readonly outbox: readonly string[]
}

/** What the claims of a digest say. */
export interface ClaimsState {
  readonly digest: string
  readonly contents: readonly { readonly id: string; readonly state: string }[]
  readonly current: string | undefined
  readonly claims: readonly { readonly repository: string; readonly isHeld: boolean }[]
  readonly holders: ReadonlySet<string>
}

/** The rows of all ledgers. */
export function ledgers({ world }: Registry): readonly LedgerState[] {
  return REPOSITORIES.flatMap((repository) => {
    const disk = world.disks.get(ledgerOf(repository))
    return disk === undefined ? [] : [once(disk, () => readLedger(repository, disk))]
  })
}

/** The rows of all claims. */
export function allClaims({ world }: Registry): readonly ClaimsState[] {
  return BLOBS.flatMap(({ digest }) => {
    const disk = world.disks.get(claimsOf(digest))
    return disk === undefined ? [] : [once(disk, () => readClaims(digest, disk))]
  })
}

/** Names of uploads of which something is left, unless it is only the answer to a repeated close. */
export function unfinishedUploads({ world }: Registry): readonly string[] {
  return [...world.disks].flatMap(([name, disk]) => {
    if (!name.startsWith('upload ')) return []
    const [row] = once(disk, () => disk.rows('session', 'SELECT stage FROM session'))
    return row === undefined || row['stage'] === 'done' ? [] : [name]
  })
}

const READ = new WeakMap<Disk, { readonly version: number; readonly value: unknown }>()

/** What a disk says, read anew only after it has changed. */
function once<Value>(disk: Disk, read: () => Value): Value {
  const { version } = disk
  const known = READ.get(disk)
  // There is one reading of each kind of disk.
  if (known?.version === version) return known.value as Value
  const value = read()
  READ.set(disk, { version, value })
  return value
}

function readLedger(repository: RepositoryName, disk: Disk): LedgerState {
  const of = (query: string) => disk.rows('repository', query)
  const blobs = of('SELECT digest, content FROM blobs').map(({ digest, content }) => ({
    digest: String(digest),
    content: typeof content === 'string' ? content : undefined,
  }))
  return {
    repository,
    blobs,
    held: new Map(blobs.flatMap(({ digest, content }) => (content ? [[digest, content]] : []))),
    manifests: of('SELECT digest FROM manifests').map(({ digest }) => String(digest)),
    children: of('SELECT manifest, digest FROM children').map(({ manifest, digest }) => ({
      manifest: String(manifest),
      digest: String(digest),
    })),
    tags: new Map(
      of('SELECT tag, digest FROM tags').map(({ tag, digest }) => [String(tag), String(digest)]),
    ),
    outbox: [...of('SELECT digest FROM releases'), ...of('SELECT digest FROM deletions')].map(
      ({ digest }) => String(digest),
    ),
  }
}

function readClaims(digest: string, disk: Disk): ClaimsState {
  const contents = disk
    .rows('contents', 'SELECT id, state FROM contents')
    .map(({ id, state }) => ({ id: String(id), state: String(state) }))
  const claims = disk
    .rows('claims', 'SELECT repository, is_held FROM claims')
    .map(({ repository, is_held: isHeld }) => ({
      repository: String(repository),
      isHeld: isHeld === 1,
    }))
  return {
    digest,
    contents,
    current: contents.find(({ state }) => state === 'current')?.id,
    claims,
    holders: new Set(claims.flatMap((each) => (each.isHeld ? [each.repository] : []))),
  }
}
