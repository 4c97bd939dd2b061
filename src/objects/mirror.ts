// The shells of the objects that keep what is mirrored: one line per method that RPC can reach, and the alarm.

import { DurableObject } from 'cloudflare:workers'
import type { FillGone, FillKeeper, FillRequest } from '../mirror/fill-keeper.ts'
import type { FillEnd, FillProgress } from '../mirror/fill.ts'
import type {
  BlobReadPage,
  ForgetOrder,
  Forgotten,
  ForgottenAll,
  ImagePage,
  Refreshed,
  RepositorySummary,
} from '../mirror/inventory.ts'
import type { LedgerAnswer } from '../mirror/ledger.ts'
import type { KnownListing, ListingAnswer } from '../mirror/listings.ts'
import type { PinnedReference, PinnedReferences } from '../mirror/pinned.ts'
import type { TagRecord } from '../mirror/records.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Page } from '../oci/page.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import { servicesOf, wake } from './shell.ts'
import type { Services } from '../services.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { Reads } from '../storage/reads.ts'

/** The ledger of one mirrored repository. */
export class MirrorLedger extends DurableObject<Env> {
  #opened: ReturnType<Services['mirror']['ledger']> | undefined
  #pinned: PinnedReferences | undefined

  tag(name: MirroredName, tag: Tag, known: Digest | undefined): Promise<LedgerAnswer> {
    return this.#open(name).ledger.tag(tag, known)
  }

  knownTag(
    name: MirroredName,
    tag: Tag,
    known: Digest | undefined,
  ): Promise<LedgerAnswer | undefined> {
    return this.#open(name).ledger.knownTag(tag, known)
  }

  keptTag(name: MirroredName, tag: Tag): TagRecord | undefined {
    return this.#open(name).records.tag(tag)
  }

  manifest(name: MirroredName, digest: Digest): Promise<LedgerAnswer> {
    return this.#open(name).ledger.manifest(digest)
  }

  knownManifest(name: MirroredName, digest: Digest): Promise<LedgerAnswer | undefined> {
    return this.#open(name).ledger.knownManifest(digest)
  }

  tags(name: MirroredName, page: Page): Promise<ListingAnswer<string>> {
    return this.#open(name).listings.tags(page)
  }

  knownTags(name: MirroredName, page: Page, isClosed?: boolean): KnownListing<string> {
    return this.#open(name).listings.knownTags(page, isClosed)
  }

  referrers(name: MirroredName, digest: Digest): Promise<ListingAnswer<Descriptor>> {
    return this.#open(name).listings.referrers(digest)
  }

  knownReferrers(name: MirroredName, of: Digest, isClosed?: boolean): KnownListing<Descriptor> {
    return this.#open(name).listings.knownReferrers(of, isClosed)
  }

  size(name: MirroredName, digest: Digest): number | undefined {
    return this.#open(name).ledger.sizeOf(digest)
  }

  refresh(name: MirroredName, tag: Tag): Promise<Refreshed> {
    return this.#open(name).ledger.refresh(tag)
  }

  read(name: MirroredName, reads: Reads): void {
    this.#open(name).stock.read(reads)
  }

  images(name: MirroredName, after: Digest | undefined, limit: number): Promise<ImagePage> {
    return this.#open(name).stock.images(after, limit)
  }

  blobReads(name: MirroredName, after: Digest | undefined, limit: number): BlobReadPage {
    return this.#open(name).stock.blobReads(after, limit)
  }

  summary(name: MirroredName): Promise<RepositorySummary | undefined> {
    return this.#open(name).stock.summary()
  }

  named(name: MirroredName, digests: readonly Digest[]): Promise<readonly Digest[]> {
    return this.#open(name).stock.named(digests)
  }

  pin(name: MirroredName, reference: Reference, isPinned: boolean): Promise<void> {
    if (!isPinned) return this.#follow().unfollow(name, reference)
    return this.#open(name).stock.pin(reference, true)
  }

  forget(name: MirroredName, order: ForgetOrder): Promise<Forgotten> {
    return this.#open(name).forgetter.forget(order)
  }

  forgetAll(name: MirroredName): Promise<ForgottenAll> {
    return this.#open(name).forgetter.forgetAll()
  }

  follow(name: MirroredName, pins: readonly PinnedReference[], isOrdered: boolean): Promise<void> {
    return this.#follow().follow(name, pins, isOrdered)
  }

  unfollow(name: MirroredName, reference: Reference): Promise<void> {
    return this.#follow().unfollow(name, reference)
  }

  override alarm(): Promise<void> {
    return wake(this.ctx, () => this.#follow().alarm())
  }

  #open(name: MirroredName) {
    this.#opened ??= servicesOf(this.ctx, this.env).mirror.ledger(name, this.ctx.storage)
    return this.#opened
  }

  #follow(): PinnedReferences {
    this.#pinned ??= servicesOf(this.ctx, this.env).pins.references(this.ctx.storage, (name) => ({
      pin: (...pin) => this.#open(name).stock.pin(...pin),
      refresh: (tag) => this.#open(name).ledger.refresh(tag),
    }))
    return this.#pinned
  }
}

/** The fill of one storage key. */
export class BlobFill extends DurableObject<Env> {
  #opened: FillKeeper | undefined

  begin(request: FillRequest): Promise<FillProgress> {
    return this.#open().begin(request)
  }

  join(request: FillRequest): Promise<FillProgress | undefined> {
    return this.#open().join(request)
  }

  progress(id: string, from: number): Promise<FillProgress | FillGone> {
    return this.#open().progress(id, from)
  }

  end(id: string): Promise<FillEnd | FillGone | undefined> {
    return this.#open().end(id)
  }

  beginDetour(): string | undefined {
    return this.#open().beginDetour()
  }

  endDetour(id: string): void {
    this.#open().endDetour(id)
  }

  override alarm(): Promise<void> {
    return wake(this.ctx, () => this.#open().alarm())
  }

  #open(): FillKeeper {
    this.#opened ??= servicesOf(this.ctx, this.env).mirror.fillKeeper(this.ctx.storage)
    return this.#opened
  }
}
