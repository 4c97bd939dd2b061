// The ledger of one hosted repository: what belongs to it. Everything that is visible in the repository is
// decided here, one step at a time; bytes lie in R2, and whose they are beyond this repository is the
// concern of `BlobClaims`.

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Page } from '../oci/page.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import type { ReferrersPage } from '../oci/referrers.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Defer, Log, Now } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import { hostedManifestKey } from '../storage/keys.ts'
import type { ManifestStore } from '../storage/manifests.ts'
import type { RepositoryMarkers } from '../storage/repositories.ts'
import { BlobRecords } from './blob-records.ts'
import type { Release } from './blob-records.ts'
import type { Content } from './claim-records.ts'
import type { ClaimAnswer, ClaimsStub } from './claims.ts'
import { Dump } from './dump.ts'
import type { DumpPage, DumpRow, RestoreAnswer } from './inventory.ts'
import { ManifestRecords } from './manifest-records.ts'
import type { KeptManifest, Taken } from './manifest-records.ts'
import { Outbox } from './outbox.ts'
import { Presence } from './presence.ts'
import { ReadRecords } from './read-records.ts'
import { Records } from './records.ts'
import { Restoration } from './restoration.ts'
import { RestoreMark } from './restore-mark.ts'
import { FREE, isFixed, isImmutable } from './tag-rules.ts'
import type { TagRules } from './tag-rules.ts'
import { Turns } from './turns.ts'

/** A blob that no manifest names and nobody has touched is dropped after so long (milliseconds). */
export const GRACE = 24 * 60 * 60 * 1000
/** What was left undone is tried again after so long (milliseconds). */
const RETRY = 60_000
/** Another object, and one step of storage, has so long (milliseconds). */
const WITHIN = 10_000
/** A page of tags is cut here, whatever is asked for. */
const MAX_TAGS = 10_000

/** Whether a blob belongs to the repository now. */
export type HoldAnswer =
  | { readonly ok: true; readonly size: number }
  | { readonly ok: false; readonly reason: 'absent' }

/** A manifest as the ledger knows it. */
export interface LedgerManifest {
  readonly digest: Digest
  readonly mediaType: string
}

/** A manifest to be put, with what must be there before it is: blobs, and manifests or blobs. */
export interface ManifestPut extends KeptManifest {
  readonly bytes: Uint8Array
  readonly needs: { readonly blobs: readonly string[]; readonly manifests: readonly string[] }
  readonly tagRules: TagRules
}

/** What becomes of a put: it stands; content is missing; tags may not be moved. */
export type PutAnswer =
  | { readonly ok: true }
  | { readonly ok: false; readonly missing: readonly string[] }
  | { readonly ok: false; readonly fixed: readonly Tag[] }

/** Whether something was removed; `fixed`: it may not be. */
export type Removal = boolean | 'fixed'

/** A page of a list; not ok: the repository has nothing. */
export type PageAnswer<Item> = ({ readonly ok: true } & Taken<Item>) | { readonly ok: false }

/** What a ledger is given. */
export interface RepositoryLedgerGiven {
  readonly repository: RepositoryName
  readonly storage: DurableObjectStorage
  readonly manifests: ManifestStore
  readonly bucket: R2Bucket
  readonly markers: RepositoryMarkers
  readonly claimsOf: (digest: Digest) => ClaimsStub
  readonly now: Now
  readonly defer: Defer
  readonly log: Log
}

/** State and decisions of a `HostedLedger`. */
export class RepositoryLedger {
  /** What is read, and what there is to see. */
  readonly reads: ReadRecords
  readonly #given: RepositoryLedgerGiven
  readonly #records: Records
  readonly #blobs: BlobRecords
  readonly #manifests: ManifestRecords
  readonly #presence: Presence
  readonly #outbox: Outbox
  readonly #restored: RestoreMark
  /** Puts and deletions of the bytes of one manifest. */
  readonly #turns = new Turns()
  readonly #claims = new Map<Digest, Promise<HoldAnswer>>()
  /** Changes that are under way. */
  #changes = 0

  constructor(given: RepositoryLedgerGiven) {
    this.#given = given
    this.#records = new Records(given.storage)
    this.#blobs = new BlobRecords(this.#records)
    this.#manifests = new ManifestRecords(this.#records)
    this.reads = new ReadRecords(this.#records)
    this.#restored = new RestoreMark(this.#records)
    this.#presence = new Presence({ ...given, records: this.#records })
    this.#outbox = new Outbox({
      ...given,
      blobs: this.#blobs,
      kept: this.#manifests,
      turns: this.#turns,
    })
  }

  /** A blob of the repository. One that is `wanted` is kept for the grace period even if no manifest names it. */
  blob(digest: Digest, isWanted: boolean): Content | undefined {
    if (isWanted) this.#touch(digest)
    return this.#blobs.held(digest)
  }

  /** Makes a blob belong to the repository: whoever asks has uploaded it here, or may read it elsewhere. */
  async hold(digest: Digest): Promise<HoldAnswer> {
    const held = this.blob(digest, true)
    if (held !== undefined) return { ok: true, size: held.size }
    const running = this.#claims.get(digest) ?? this.#changing(() => this.#claim(digest))
    this.#claims.set(digest, running)
    try {
      return await running
    } finally {
      if (this.#claims.get(digest) === running) this.#claims.delete(digest)
    }
  }

  /** Where the bytes of a blob are after they were not found where the ledger said. */
  async relocate(digest: Digest): Promise<Content | undefined> {
    if (this.#blobs.held(digest) === undefined) return undefined
    const claim = { digest, counter: this.#blobs.recount(digest) }
    const answer = await this.#ask(claim)
    if (!answer.ok) {
      // Nobody has the bytes: whoever pushes them again must claim them anew.
      const isAbsent = answer.reason === 'absent' && this.#blobs.isClaimedAs(claim)
      if (isAbsent) await this.#changing(async () => this.#blobs.drop(digest))
      return undefined
    }
    // Not kept where it was dropped, or where somebody else asks the same, who is told the same.
    this.#blobs.keep(claim, answer.content, this.#given.now() + GRACE)
    return this.#blobs.held(digest) && answer.content
  }

  /** The manifest of a reference. */
  manifest(reference: Reference): LedgerManifest | undefined {
    const digest = reference.kind === 'tag' ? this.#manifests.tag(reference.tag) : reference.digest
    const mediaType = digest && this.#manifests.mediaType(digest)
    return digest && mediaType !== undefined ? { digest, mediaType } : undefined
  }

  /** Keeps a manifest with its tags, unless something that it needs is missing. */
  async putManifest(put: ManifestPut): Promise<PutAnswer> {
    // Whoever puts it has time to upload the rest.
    for (const child of put.children) this.#touch(child)
    const refusal = this.#refusalOf(put)
    if (refusal !== undefined) return refusal
    return this.#changing(() =>
      this.#turns.take(put.digest, async (keep) => {
        // Should this object die before the row stands, the alarm finds bytes without one and deletes them.
        await this.#presence.begin(() => {
          const isKnown = this.#manifests.mediaType(put.digest) !== undefined
          if (!isKnown) this.#manifests.planDeletion(put.digest)
        })
        const key = hostedManifestKey(this.#given.repository, put.digest)
        const stored = this.#given.manifests.put(key, put.digest, put)
        // Bytes that are late must not come after a deletion.
        keep(stored)
        await inTime(stored, WITHIN, 'storage does not take the manifest')
        return this.#records.atomically(() => this.#keep(put))
      }),
    )
  }

  /** Removes a tag. False: there was none. */
  deleteTag(tag: Tag, rules: TagRules = FREE): Removal {
    if (this.#manifests.tag(tag) === undefined) return false
    return isImmutable(tag, rules) ? 'fixed' : this.#manifests.deleteTag(tag)
  }

  /** Removes a manifest with all tags that point at it. False: there was none. */
  async deleteManifest(digest: Digest, rules: TagRules = FREE): Promise<Removal> {
    if (this.#manifests.mediaType(digest) === undefined) return false
    return this.#changing(async () => {
      const isThere = this.#manifests.mediaType(digest) !== undefined
      if (this.#isPartOfImmutable(digest, rules)) return 'fixed'
      if (isThere) this.#records.atomically(() => this.#forget(digest))
      if (isThere) this.#given.defer(this.#outbox.deliver())
      return isThere
    })
  }

  /** Removes a blob, also one that a manifest names. False: there was none. */
  async deleteBlob(digest: Digest, rules: TagRules = FREE): Promise<Removal> {
    if (this.#blobs.held(digest) === undefined) return false
    return this.#changing(async () => {
      if (this.#isPartOfImmutable(digest, rules)) return 'fixed'
      const isThere = this.#blobs.held(digest) !== undefined
      if (isThere) this.#blobs.drop(digest)
      if (isThere) this.#given.defer(this.#outbox.deliver())
      return isThere
    })
  }

  /** One page of tags in ASCII order, 10 000 at most. */
  tags(page: Page): PageAnswer<Tag> {
    const taken = this.#manifests.tags(page, Math.min(page.n ?? MAX_TAGS, MAX_TAGS))
    if (taken.items.length === 0 && this.#isEmpty) return { ok: false }
    // No items asked for: no next page either.
    return { ok: true, ...taken }
  }

  /** One page of the manifests that refer to a subject; a repository that has nothing has none. */
  referrers(subject: Digest, page: ReferrersPage): Taken<Descriptor> {
    return this.#manifests.referrers(subject, page)
  }

  /** A page of rows for an export; each page is of one moment. */
  dump(after: string | undefined): DumpPage {
    return new Dump({ ...this.#given, records: this.#records, kept: this.#manifests }).page(after)
  }

  /** Brings rows of the export `from` back, unless there are others. May be repeated. */
  async restore(rows: readonly DumpRow[], from: string): Promise<RestoreAnswer> {
    return this.#changing(() => this.#restoration.take(rows, from))
  }

  /** Claims blobs that belong once more, as far as they do. May be repeated. */
  async reclaim(digests: readonly Digest[]): Promise<void> {
    await this.#restoration.reclaim(digests)
  }

  /** All rows of an export are back: from now on there are others. */
  async endRestore(from: string): Promise<void> {
    if (this.#restored.from !== from) return
    await this.#changing(async () => this.#restored.end(this.#given.now()))
  }

  /** Settles what a crash left, drops what nobody wants, and delivers what others have yet to be told. */
  async alarm(): Promise<void> {
    const { storage, now, log } = this.#given
    // Set first, so that a failure below is tried again.
    await storage.setAlarm(now() + RETRY)
    try {
      // While a restoration is not at its end, nothing goes: the manifests that name it are still to come.
      if (this.#restored.from === undefined) this.#blobs.dropUnwanted(now(), this.#claims)
      await this.#outbox.deliver()
      await this.#presence.end(() => this.#isEmpty && this.#outbox.isEmpty)
      await this.#rest()
    } catch (error) {
      log('ledger-alarm-failed', { reason: String(error) })
    }
  }

  async #claim(digest: Digest): Promise<HoldAnswer> {
    let claim = await this.#presence.begin(() => this.#begin(digest))
    let answer = await this.#ask(claim)
    if (!answer.ok && answer.reason === 'late') {
      claim = this.#begin(digest)
      answer = await this.#ask(claim)
    }
    if (!answer.ok) this.#blobs.abandon(claim)
    const until = this.#given.now() + GRACE
    return answer.ok && this.#blobs.keep(claim, answer.content, until)
      ? { ok: true, size: answer.content.size }
      : { ok: false, reason: 'absent' }
  }

  #begin(digest: Digest): Release {
    return { digest, counter: this.#blobs.begin(digest) }
  }

  async #ask({ digest, counter }: Release): Promise<ClaimAnswer> {
    const { repository, claimsOf } = this.#given
    const asked = claimsOf(digest).claim(repository, counter)
    const answer = await inTime(asked, WITHIN, 'claims do not answer')
    // This ledger has forgotten what it once counted: it was restored from an older state.
    if (!answer.ok && answer.reason === 'late') {
      this.#blobs.raise({ digest, counter: answer.counter })
    }
    return answer
  }

  #keep(put: ManifestPut): PutAnswer {
    // Blobs may have been dropped, and tags made, while the bytes were on their way.
    const refusal = this.#refusalOf(put)
    if (refusal !== undefined) return refusal
    this.#manifests.put(put, { now: this.#given.now(), size: put.bytes.byteLength })
    this.#restored.used(this.#given.now())
    for (const child of put.children) this.#blobs.name(child)
    return { ok: true }
  }

  #forget(digest: Digest): void {
    const until = this.#given.now() + GRACE
    for (const child of this.#manifests.delete(digest)) this.#blobs.unname(child, until)
  }

  #refusalOf(put: ManifestPut): PutAnswer | undefined {
    const { digest, mediaType, tagRules } = put
    const moved = put.tags.filter((tag) => {
      const current = this.#manifests.tag(tag)
      return current !== undefined && current !== digest
    })
    // The same bytes as another media type are another thing to whoever pulls them.
    const known = this.#manifests.mediaType(digest)
    const isOther = known !== undefined && known !== mediaType
    const changed = isOther ? this.#manifests.tagsOf(digest) : []
    const fixed = [...moved, ...changed].filter((tag) => isFixed(tag, tagRules))
    if (fixed.length > 0) return { ok: false, fixed }
    const missing = this.#missing(put)
    return missing.length > 0 ? { ok: false, missing } : undefined
  }

  /** What an immutable tag leads to stays whole. */
  #isPartOfImmutable(digest: Digest, rules: TagRules): boolean {
    if (rules.immutable.length === 0) return false
    return this.#manifests.tagsAbove(digest).some((tag) => isImmutable(tag, rules))
  }

  #missing({ needs }: ManifestPut): readonly string[] {
    const isHeld = (digest: string): boolean => this.#blobs.held(digest) !== undefined
    const isThere = (digest: string): boolean =>
      isHeld(digest) || this.#manifests.mediaType(digest) !== undefined
    return [
      ...needs.blobs.filter((digest) => !isHeld(digest)),
      ...needs.manifests.filter((digest) => !isThere(digest)),
    ]
  }

  #touch(digest: string): void {
    if (this.#blobs.held(digest) === undefined) return
    this.#blobs.touch(digest, this.#given.now() + GRACE)
  }

  get #restoration(): Restoration {
    return new Restoration({
      ...this.#given,
      records: this.#records,
      blobs: this.#blobs,
      kept: this.#manifests,
      reads: this.reads,
      presence: this.#presence,
      turns: this.#turns,
      ledger: this,
    })
  }

  get #isEmpty(): boolean {
    return this.#blobs.isEmpty && this.#manifests.isEmpty
  }

  /**
   * Changes rows that need an alarm. It stands before they do, since this object may die in between, and stays
   * while this runs.
   */
  async #changing<Value>(work: () => Promise<Value>): Promise<Value> {
    const { storage, now } = this.#given
    this.#changes += 1
    try {
      const soon = now() + RETRY
      const at = await storage.getAlarm()
      if (at === null || at > soon) await storage.setAlarm(soon)
      return await work()
    } finally {
      this.#changes -= 1
    }
  }

  /** Sleeps until the next blob is due; for ever, if none will be; for long, while none may be dropped. */
  async #rest(): Promise<void> {
    const { storage, now } = this.#given
    const isRestoring = this.#restored.from !== undefined
    const due = isRestoring ? now() + GRACE : this.#blobs.nextDue()
    const isPending = !this.#outbox.isEmpty || (!isRestoring && this.#blobs.isClaiming)
    if (this.#changes > 0 || isPending || (due !== undefined && due <= now())) return
    if (due === undefined) await storage.deleteAlarm()
    else await storage.setAlarm(due)
  }
}
