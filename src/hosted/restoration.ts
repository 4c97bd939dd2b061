// Brings the rows of a hosted repository back from an export, a few at a time, while clients may push to it already:
// what they push stands. Bytes are where they were; a row whose bytes are not there is not restored.

import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Now } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import { hostedContentKey, hostedManifestKey } from '../storage/keys.ts'
import type { StorageKey } from '../storage/keys.ts'
import type { BlobRecords } from './blob-records.ts'
import type { ClaimsStub } from './claims.ts'
import type { DumpRow, MissingContent, RestoreAnswer } from './inventory.ts'
import type { ManifestRecords } from './manifest-records.ts'
import type { Presence } from './presence.ts'
import type { ReadRecords } from './read-records.ts'
import type { Records } from './records.ts'
import { RestoreMark } from './restore-mark.ts'
import type { Turns } from './turns.ts'

/** Blobs and manifests that are looked at together. */
const AT_ONCE = 20
/** Another object, and one step of storage, has so long (milliseconds). */
const WITHIN = 10_000

type Dumped<Kind extends DumpRow['kind']> = Extract<DumpRow, { readonly kind: Kind }>

/** The ledger: claims a blob, and one that belongs once more. */
interface LedgerBlobs {
  hold(digest: Digest): Promise<{ readonly ok: boolean }>
  relocate(digest: Digest): Promise<unknown>
}

/** What a restoration is given. */
export interface RestorationGiven {
  readonly repository: RepositoryName
  readonly bucket: R2Bucket
  readonly records: Records
  readonly blobs: BlobRecords
  readonly kept: ManifestRecords
  readonly reads: ReadRecords
  readonly presence: Presence
  /** Puts and deletions of the bytes of one manifest. */
  readonly turns: Turns
  readonly claimsOf: (digest: Digest) => ClaimsStub
  readonly ledger: LedgerBlobs
  readonly now: Now
}

/** Restores rows. */
export class Restoration {
  readonly #given: RestorationGiven
  readonly #mark: RestoreMark

  constructor(given: RestorationGiven) {
    this.#given = given
    this.#mark = new RestoreMark(given.records)
  }

  /**
   * Restores these rows of the export `from`, unless the repository has others that it has not brought. May be repeated.
   * @throws while storage or an object is away.
   */
  async take(rows: readonly DumpRow[], from: string): Promise<RestoreAnswer> {
    const { blobs, reads } = this.#given
    if (!(await this.#begin(from))) return { ok: false, reason: 'kept' }
    const of = <Kind extends DumpRow['kind']>(kind: Kind): readonly Dumped<Kind>[] =>
      rows.filter((row): row is Dumped<Kind> => row.kind === kind)
    for (const counter of of('counter')) blobs.raise(counter)
    const missing = [
      // In this order nothing is visible before what it needs.
      ...(await gather(of('blob'), (blob) => this.#blob(blob))),
      ...(await gather(of('manifest'), (manifest) => this.#manifest(manifest))),
      ...of('tag').flatMap((tag) => this.#tag(tag)),
    ]
    for (const { digest, at } of of('read')) reads.note({ at, pulls: 0, digests: [digest] })
    for (const day of of('pulls')) reads.keepPulls(day)
    return { ok: true, missing }
  }

  /**
   * Claims blobs of a repository that is left alone once more: claims may have lost what its ledger has not, and then
   * bytes that another repository brings back would seem to be the other's alone. May be repeated.
   */
  async reclaim(digests: readonly Digest[]): Promise<void> {
    await gather(digests, async (digest) => {
      const { blobs, claimsOf, ledger } = this.#given
      const held = blobs.held(digest)
      // One whose bytes are not where they should be is looked for when somebody reads it.
      if (held === undefined || !(await this.#isStored(hostedContentKey(held.id), held.size))) {
        return []
      }
      const adopted = claimsOf(digest).adopt(held)
      const { ok } = await inTime(adopted, WITHIN, 'claims do not answer')
      // The first answer may tell from where to count on.
      if (ok && (await ledger.relocate(digest)) === undefined) await ledger.relocate(digest)
      return []
    })
  }

  /** False: there are rows already, or those of another export are coming. */
  async #begin(from: string): Promise<boolean> {
    const { presence, repository, blobs, kept, now } = this.#given
    const isFree = (): boolean => this.#mark.from === from || (blobs.isEmpty && kept.isEmpty)
    if (!isFree()) return false
    return presence.begin(() => {
      // Somebody may have pushed while the marker was on its way.
      if (!isFree()) return false
      this.#mark.put(repository, from, now())
      return true
    })
  }

  async #blob({
    digest,
    content,
    size,
    counter,
  }: Dumped<'blob'>): Promise<readonly MissingContent[]> {
    const { blobs, claimsOf, ledger } = this.#given
    blobs.raise({ digest, counter })
    if (blobs.held(digest) !== undefined) return []
    // Another upload of the same bytes may have taken their place: then claims know where they are.
    if (await this.#isStored(hostedContentKey(content), size)) {
      await inTime(claimsOf(digest).adopt({ id: content, size }), WITHIN, 'claims do not answer')
    }
    return (await ledger.hold(digest)).ok ? [] : [{ kind: 'blob', name: digest, digest }]
  }

  async #manifest(manifest: Dumped<'manifest'>): Promise<readonly MissingContent[]> {
    const { repository, records, blobs, kept, presence, turns } = this.#given
    const { digest, size, pushedAt } = manifest
    return turns.take(digest, async () => {
      // One that was pushed meanwhile stands as it was pushed, and one that was deleted stays so.
      const isSettled = (): boolean =>
        kept.mediaType(digest) !== undefined || kept.isDeletionPlanned(digest)
      if (isSettled()) return []
      if (!(await this.#isStored(hostedManifestKey(repository, digest), size))) {
        return [{ kind: 'manifest', name: digest, digest }]
      }
      // It may be the first row: an alarm meanwhile has removed the marker of a repository that had none.
      await presence.begin(() =>
        records.atomically(() => {
          kept.put({ ...manifest, tags: [] }, { now: pushedAt, size })
          for (const child of manifest.children) blobs.name(child)
        }),
      )
      return []
    })
  }

  #tag({ tag, digest, pushedAt }: Dumped<'tag'>): readonly MissingContent[] {
    const { kept } = this.#given
    if (kept.tag(tag) !== undefined) return []
    if (kept.mediaType(digest) === undefined) return [{ kind: 'tag', name: tag, digest }]
    kept.putTag(tag, digest, pushedAt)
    return []
  }

  async #isStored(key: StorageKey, size: number | undefined): Promise<boolean> {
    const head = await inTime(this.#given.bucket.head(key), WITHIN, 'storage does not answer')
    return head !== null && (size === undefined || head.size === size)
  }
}

/** All results, of a few items at a time. */
async function gather<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<readonly Result[]>,
): Promise<readonly Result[]> {
  const results: Result[] = []
  for (let from = 0; from < items.length; from += AT_ONCE) {
    const some = await Promise.all(items.slice(from, from + AT_ONCE).map(work))
    results.push(...some.flat())
  }
  return results
}
