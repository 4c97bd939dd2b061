// The Durable Object shells: a constructor that composes, one line per method that RPC can reach, and the
// alarm. State and decisions are plain classes in their rooms.

import { DurableObject } from 'cloudflare:workers'
import type { FillGone, FillKeeper, FillRequest } from './mirror/fill-keeper.ts'
import type { FillEnd, FillProgress } from './mirror/fill.ts'
import type { Ledger, ManifestAnswer } from './mirror/ledger.ts'
import type { Listings, ListingAnswer } from './mirror/listings.ts'
import type { Descriptor } from './oci/descriptor.ts'
import type { Digest } from './oci/digest.ts'
import type { Page } from './oci/page.ts'
import type { Tag } from './oci/reference.ts'
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

function servicesOf(ctx: DurableObjectState, env: Env): Services {
  return new Services(
    env,
    platformSeams((work) => ctx.waitUntil(work), printLog),
  )
}
