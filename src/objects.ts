// The Durable Object shells: a constructor that composes, one line per method that RPC can reach, and the
// alarm. State and decisions are plain classes in their rooms.

import { DurableObject } from 'cloudflare:workers'
import type { FillGone, FillKeeper, FillRequest } from './mirror/fill-keeper.ts'
import type { FillEnd, FillProgress } from './mirror/fill.ts'
import type { LedgerAnswer } from './mirror/ledger.ts'
import type { KnownListing, ListingAnswer } from './mirror/listings.ts'
import type { TagRecord } from './mirror/records.ts'
import type { Account } from './auth/account.ts'
import type { AuditEntry, Authority as AuthorityState, Snapshot } from './auth/authority.ts'
import type { Content } from './hosted/claim-records.ts'
import type { Adoption, ClaimAnswer, Claims, ReleaseAnswer } from './hosted/claims.ts'
import type {
  HoldAnswer,
  LedgerManifest,
  ManifestPut,
  PageAnswer,
  PutAnswer,
  Removal,
  RepositoryLedger,
} from './hosted/ledger.ts'
import type { Taken } from './hosted/manifest-records.ts'
import { repositoryOf } from './hosted/presence.ts'
import { Records } from './hosted/records.ts'
import type { TagRules } from './hosted/tag-rules.ts'
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
import { openAuthority } from './services/access.ts'
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

/** Milliseconds. */
const WAKE_AGAIN = 60_000

type NewAccount = Pick<Account, 'name' | 'kind' | 'grants'>

/** The body of a request, handed on as it comes. */
type Body = ReadableStream<Uint8Array> | null

/** The ledger of one mirrored repository. */
export class MirrorLedger extends DurableObject<Env> {
  #opened: ReturnType<Services['ledger']> | undefined

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
    return wake(this.ctx, () =>
      sweepStorage(this.ctx.storage, servicesOf(this.ctx, this.env).seams.now()),
    )
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

  deleteTag(name: RepositoryName, tag: Tag, rules: TagRules): Removal {
    return this.#open(name).deleteTag(tag, rules)
  }

  deleteManifest(name: RepositoryName, digest: Digest, rules: TagRules): Promise<Removal> {
    return this.#open(name).deleteManifest(digest, rules)
  }

  deleteBlob(name: RepositoryName, digest: Digest, rules: TagRules): Promise<Removal> {
    return this.#open(name).deleteBlob(digest, rules)
  }

  tags(name: RepositoryName, page: Page): PageAnswer<Tag> {
    return this.#open(name).tags(page)
  }

  referrers(name: RepositoryName, digest: Digest, page: ReferrersPage): Taken<Descriptor> {
    return this.#open(name).referrers(digest, page)
  }

  override alarm(): Promise<void> {
    const name = repositoryOf(new Records(this.ctx.storage))
    return wake(this.ctx, name && (() => this.#open(name).alarm()))
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

  override alarm(): Promise<void> {
    const name = new UploadRecords(this.ctx.storage).name()
    return wake(this.ctx, name && (() => this.#open(name).alarm()))
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

  release(repository: RepositoryName, counter: number): Promise<ReleaseAnswer> {
    return this.#open().release(repository, counter)
  }

  holders(): readonly RepositoryName[] {
    return this.#open().holders()
  }

  override alarm(): Promise<void> {
    return wake(this.ctx, () => this.#open().alarm())
  }

  #open(): Claims {
    this.#opened ??= servicesOf(this.ctx, this.env).hosted.claims(this.ctx.storage)
    return this.#opened
  }
}

/** Accounts and signing keys: one object for the deployment. */
export class Authority extends DurableObject<Env> {
  #opened: AuthorityState | undefined

  snapshot(): Promise<Snapshot> {
    return this.#open().snapshot()
  }

  add(account: NewAccount, by: string): ReturnType<AuthorityState['add']> {
    return this.#open().add(account, by)
  }

  list(): ReturnType<AuthorityState['list']> {
    return this.#open().list()
  }

  revoke(name: string, by: string): boolean {
    return this.#open().revoke(name, by)
  }

  rotate(name: string, by: string): ReturnType<AuthorityState['rotate']> {
    return this.#open().rotate(name, by)
  }

  setSwitches(...to: Parameters<AuthorityState['setSwitches']>) {
    return this.#open().setSwitches(...to)
  }

  rotateKey(): Promise<void> {
    return this.#open().rotateKey()
  }

  audit(): readonly AuditEntry[] {
    return this.#open().audit()
  }

  #open(): AuthorityState {
    this.#opened ??= openAuthority(this.ctx.storage, servicesOf(this.ctx, this.env).seams)
    return this.#opened
  }
}

/**
 * Runs the alarm of an object, which sets the next one itself. One that cannot even be opened, under a wrong
 * configuration, comes again in a minute: what throws is tried a few times, and then never more.
 */
async function wake(
  { storage }: DurableObjectState,
  alarm: (() => Promise<void>) | undefined,
): Promise<void> {
  if (alarm === undefined) return
  await storage.setAlarm(Date.now() + WAKE_AGAIN)
  try {
    await alarm()
  } catch (error) {
    printLog('alarm-failed', { reason: String(error) })
  }
}

function servicesOf(ctx: DurableObjectState, env: Env): Services {
  return new Services(
    env,
    platformSeams((work) => ctx.waitUntil(work), printLog),
  )
}
