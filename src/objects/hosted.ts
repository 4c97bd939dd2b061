// The shells of the objects that keep what is hosted: one line per method that RPC can reach, and the alarm.

import { DurableObject } from 'cloudflare:workers'
import type { Content } from '../hosted/claim-records.ts'
import type { Adoption, ClaimAnswer, Claims, ReleaseAnswer } from '../hosted/claims.ts'
import type {
  HoldAnswer,
  LedgerManifest,
  ManifestPut,
  PageAnswer,
  PutAnswer,
  Removal,
  RepositoryLedger,
} from '../hosted/ledger.ts'
import type {
  DumpPage,
  DumpRow,
  HostedImages,
  RestoreAnswer,
  Summary,
} from '../hosted/inventory.ts'
import type { Taken } from '../hosted/manifest-records.ts'
import { repositoryOf } from '../hosted/presence.ts'
import { Records } from '../hosted/records.ts'
import type { TagRules } from '../hosted/tag-rules.ts'
import { UploadRecords } from '../hosted/upload-records.ts'
import type {
  AppendAnswer,
  Chunk,
  CloseAnswer,
  StatusAnswer,
  Upload,
  UploadName,
} from '../hosted/upload-session.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Page } from '../oci/page.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import type { ReferrersPage } from '../oci/referrers.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Reads } from '../storage/reads.ts'
import { servicesOf, wake } from './shell.ts'

/** The body of a request, handed on as it comes. */
type Body = ReadableStream<Uint8Array> | null

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

  read(name: RepositoryName, reads: Reads): void {
    this.#open(name).reads.note(reads)
  }

  summary(name: RepositoryName): Summary | undefined {
    return this.#open(name).reads.summary()
  }

  images(name: RepositoryName, after: Digest | undefined, limit: number): HostedImages {
    return this.#open(name).reads.images(after, limit)
  }

  dump(name: RepositoryName, after: string | undefined): DumpPage {
    return this.#open(name).dump(after)
  }

  restore(name: RepositoryName, rows: readonly DumpRow[], from: string): Promise<RestoreAnswer> {
    return this.#open(name).restore(rows, from)
  }

  reclaim(name: RepositoryName, digests: readonly Digest[]): Promise<void> {
    return this.#open(name).reclaim(digests)
  }

  endRestore(name: RepositoryName, from: string): Promise<void> {
    return this.#open(name).endRestore(from)
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
