// The Durable Object shells: a constructor that composes, one line per method that RPC can reach, and the
// alarm. State and decisions are plain classes in their rooms.

import { DurableObject } from 'cloudflare:workers'
import type { FillGone, FillKeeper, FillRequest } from './mirror/fill-keeper.ts'
import type { FillEnd, FillProgress } from './mirror/fill.ts'
import type { Ledger, ManifestAnswer } from './mirror/ledger.ts'
import type { Listings, ListingAnswer } from './mirror/listings.ts'
import type { Content } from './hosted/claim-records.ts'
import type { Adoption, ClaimAnswer, Claims } from './hosted/claims.ts'
import type {
  HoldAnswer,
  LedgerManifest,
  ManifestPut,
  PageAnswer,
  PutAnswer,
  RepositoryLedger,
} from './hosted/ledger.ts'
import type { Taken } from './hosted/manifest-records.ts'
import { repositoryOf } from './hosted/presence.ts'
import { Records } from './hosted/records.ts'
import { UploadRecords } from './hosted/upload-records.ts'
import type {
  AppendAnswer,
  Chunk,
  CloseAnswer,
  StatusAnswer,
  Upload,
  UploadName,
} from './hosted/upload-session.ts'
import type { Descriptor } from './oci/descriptor.ts'
import type { Digest } from './oci/digest.ts'
import type { Page } from './oci/page.ts'
import type { Reference, Tag } from './oci/reference.ts'
import type { ReferrersPage } from './oci/referrers.ts'
import type { RepositoryName } from './oci/repository-name.ts'
import { Services, platformSeams, printLog } from './services.ts'
import type { MirroredName } from './storage/keys.ts'
import { durableStorage, sweepStorage } from './upstream/gate-storage.ts'
import type {
  Authorization,
  Gate,
  GateName,
  GateStatus,
  Purpose,
  Refusal,
  Report,
  Standing,
} from './upstream/gate.ts'

/** The body of a request, handed on as it comes. */
type Body = ReadableStream<Uint8Array> | null

/** The ledger of one mirrored repository. */
export class MirrorLedger extends DurableObject<Env> {
  #opened: { readonly ledger: Ledger; readonly listings: Listings } | undefined

  tag(name: MirroredName, tag: Tag, known: Digest | undefined): Promise<ManifestAnswer> {
    return this.#open(name).ledger.tag(tag, known)
  }

  manifest(name: MirroredName, digest: Digest): Promise<ManifestAnswer> {
    return this.#open(name).ledger.manifest(digest)
  }

  tags(name: MirroredName, page: Page): Promise<ListingAnswer<string>> {
    return this.#open(name).listings.tags(page)
  }

  referrers(name: MirroredName, digest: Digest): Promise<ListingAnswer<Descriptor>> {
    return this.#open(name).listings.referrers(digest)
  }

  size(name: MirroredName, digest: Digest): number | undefined {
    return this.#open(name).ledger.sizeOf(digest)
  }

  touch(name: MirroredName, day: number): void {
    this.#open(name).ledger.touch(day)
  }

  #open(name: MirroredName) {
    this.#opened ??= servicesOf(this.ctx, this.env).ledger(name, this.ctx.storage)
    return this.#opened
  }
}

/** The fill of one storage key. */
export class BlobFill extends DurableObject<Env> {
  #opened: FillKeeper | undefined

  begin(request: FillRequest): Promise<FillProgress> {
    return this.#open().begin(request)
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
    return this.#open().alarm()
  }

  #open(): FillKeeper {
    this.#opened ??= servicesOf(this.ctx, this.env).fillKeeper(this.ctx.storage)
    return this.#opened
  }
}

/** The gate to one upstream. */
export class UpstreamGate extends DurableObject<Env> {
  #opened: Gate | undefined

  authorize(
    name: GateName,
    repository: RepositoryName,
    purpose: Purpose,
    refusal: Refusal | undefined,
  ): Promise<Authorization> {
    return this.#open(name).authorize(repository, purpose, refusal)
  }

  report(name: GateName, report: Report): Promise<void> {
    return this.#open(name).report(report)
  }

  standing(name: GateName): Promise<Standing> {
    return this.#open(name).standing()
  }

  status(name: GateName): GateStatus {
    return this.#open(name).status()
  }

  override alarm(): Promise<void> {
    return sweepStorage(this.ctx.storage, servicesOf(this.ctx, this.env).seams.now())
  }

  #open(name: GateName): Gate {
    const services = servicesOf(this.ctx, this.env)
    this.#opened ??= services.gate(name, durableStorage(this.ctx.storage, services.seams.now))
    return this.#opened
  }
}

/** The ledger of one hosted repository. */
export class HostedLedger extends DurableObject<Env> {
  #opened: RepositoryLedger | undefined

  blob(name: RepositoryName, digest: Digest, isWanted: boolean): Content | undefined {
    return this.#open(name).blob(digest, isWanted)
  }

  hold(name: RepositoryName, digest: Digest): Promise<HoldAnswer> {
    return this.#open(name).hold(digest)
  }

  relocate(name: RepositoryName, digest: Digest): Promise<Content | undefined> {
    return this.#open(name).relocate(digest)
  }

  manifest(name: RepositoryName, reference: Reference): LedgerManifest | undefined {
    return this.#open(name).manifest(reference)
  }

  putManifest(name: RepositoryName, put: ManifestPut): Promise<PutAnswer> {
    return this.#open(name).putManifest(put)
  }

  deleteTag(name: RepositoryName, tag: Tag): boolean {
    return this.#open(name).deleteTag(tag)
  }

  deleteManifest(name: RepositoryName, digest: Digest): Promise<boolean> {
    return this.#open(name).deleteManifest(digest)
  }

  deleteBlob(name: RepositoryName, digest: Digest): Promise<boolean> {
    return this.#open(name).deleteBlob(digest)
  }

  tags(name: RepositoryName, page: Page): PageAnswer<Tag> {
    return this.#open(name).tags(page)
  }

  referrers(name: RepositoryName, digest: Digest, page: ReferrersPage): Taken<Descriptor> {
    return this.#open(name).referrers(digest, page)
  }

  override async alarm(): Promise<void> {
    const name = repositoryOf(new Records(this.ctx.storage))
    if (name !== undefined) await this.#open(name).alarm()
  }

  #open(name: RepositoryName): RepositoryLedger {
    this.#opened ??= servicesOf(this.ctx, this.env).hosted.ledger(name, this.ctx.storage)
    return this.#opened
  }
}

/** One upload to a hosted repository. */
export class UploadSession extends DurableObject<Env> {
  #opened: Upload | undefined

  open(name: UploadName): Promise<void> {
    return this.#open(name).open()
  }

  append(name: UploadName, chunk: Chunk, body: Body): Promise<AppendAnswer> {
    return this.#open(name).append(chunk, body)
  }

  close(name: UploadName, closing: Chunk & { digest: Digest }, body: Body): Promise<CloseAnswer> {
    return this.#open(name).close(closing, body)
  }

  status(name: UploadName): Promise<StatusAnswer> {
    return this.#open(name).status()
  }

  cancel(name: UploadName): Promise<boolean> {
    return this.#open(name).cancel()
  }

  override async alarm(): Promise<void> {
    const name = new UploadRecords(this.ctx.storage).name()
    if (name !== undefined) await this.#open(name).alarm()
  }

  #open(name: UploadName): Upload {
    this.#opened ??= servicesOf(this.ctx, this.env).hosted.upload(name, this.ctx.storage)
    return this.#opened
  }
}

/** Who claims the bytes of one hosted digest. */
export class BlobClaims extends DurableObject<Env> {
  #opened: Claims | undefined

  adopt(content: Content): Promise<Adoption> {
    return this.#open().adopt(content)
  }

  disown(id: string): Promise<'adopted' | 'disowned'> {
    return this.#open().disown(id)
  }

  claim(repository: RepositoryName, counter: number): Promise<ClaimAnswer> {
    return this.#open().claim(repository, counter)
  }

  release(repository: RepositoryName, counter: number): Promise<void> {
    return this.#open().release(repository, counter)
  }

  holders(): readonly RepositoryName[] {
    return this.#open().holders()
  }

  override alarm(): Promise<void> {
    return this.#open().alarm()
  }

  #open(): Claims {
    this.#opened ??= servicesOf(this.ctx, this.env).hosted.claims(this.ctx.storage)
    return this.#opened
  }
}

function servicesOf(ctx: DurableObjectState, env: Env): Services {
  return new Services(
    env,
    platformSeams((work) => ctx.waitUntil(work), printLog),
  )
}
