// Composition of what is mirrored: the repositories that requests see, the state behind the objects that keep them,
// and the way to every upstream.

import type { Config } from '../config.ts'
import type { Admit } from '../mirror/admission.ts'
import { MirroredBlobs } from '../mirror/blobs.ts'
import type { FillStub } from '../mirror/blobs.ts'
import { FillKeeper } from '../mirror/fill-keeper.ts'
import type { FillRequest } from '../mirror/fill-keeper.ts'
import { MirroredRepository } from '../mirror/repository.ts'
import type { ManifestMemory } from '../mirror/near-manifests.ts'
import type { LedgerStub } from '../mirror/repository.ts'
import type { Outbound } from '../outbound.ts'
import type { Seams } from '../seams.ts'
import { BlobStore } from '../storage/blobs.ts'
import { Hints } from '../storage/hints.ts'
import { canonicalName } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import { ManifestStore } from '../storage/manifests.ts'
import { openBlob } from '../upstream/blob-source.ts'
import { UpstreamClient } from '../upstream/client.ts'
import type { UpstreamTally } from '../upstream/client.ts'
import { passingStorage } from '../upstream/gate-storage.ts'
import type { GateStorage } from '../upstream/gate-storage.ts'
import { DistantGate, Gate } from '../upstream/gate.ts'
import type { GateName, GateStatus, GateStub } from '../upstream/gate.ts'
import type { Credential, Upstream } from '../upstream/upstream.ts'
import type { AccessServices } from './access.ts'
import type { MeterServices } from './meter.ts'
import { openLedger } from './mirror-ledger.ts'
import type { LedgerState } from './mirror-ledger.ts'

/** What mirrored repositories are made of. */
export interface MirrorServicesGiven {
  readonly env: Env
  readonly seams: Seams
  readonly config: Config
  readonly memory: ManifestMemory
  readonly outbound: Outbound
  readonly access: AccessServices
  readonly meter: MeterServices
}

/** Makes mirrored repositories and the state of their objects. */
export class MirrorServices {
  readonly #given: MirrorServicesGiven
  readonly #env: Env

  constructor(given: MirrorServicesGiven) {
    this.#given = given
    this.#env = given.env
  }

  /** Every upstream and every alternate. */
  endpoints(): readonly Upstream[] {
    return [...this.#given.config.upstreams.values()].flatMap((each) => [each, ...each.alternates])
  }

  /** How the gates of an upstream or alternate stand: one for each credential, and the one for nobody. */
  gateStatuses(endpoint: Upstream): Promise<(GateName & GateStatus)[]> {
    const ids = [...endpoint.credentials.map(({ id }) => id), undefined]
    return Promise.all(
      ids.map(async (credential) => {
        const name = { upstream: endpoint.name, credential }
        const status = this.#gateStub(name).status(name)
        return { ...name, ...(await status.catch(() => this.#unknownStatus())) }
      }),
    )
  }

  /** The state behind a `MirrorLedger`. */
  ledger(name: MirroredName, storage: DurableObjectStorage): LedgerState {
    const { seams, meter } = this.#given
    const client = () => this.#client(this.#upstream(name.host), meter.upstreams())
    return openLedger({ name, storage, env: this.#env, seams, client })
  }

  /** The state behind a `BlobFill`. */
  fillKeeper(storage: DurableObjectStorage): FillKeeper {
    return new FillKeeper({
      storage,
      bucket: this.#env.BLOBS,
      blobs: new BlobStore(this.#env.BLOBS),
      open: (request) => this.#openBlob(request),
      statedSize: (request) => this.#ledgerStub(request).size(nameOf(request), request.digest),
      tally: this.#given.meter.fills(),
      ...this.#given.seams,
    })
  }

  /** The state behind an `UpstreamGate`: of one upstream or alternate, for one credential or for nobody. */
  gate({ upstream: name, credential: id }: GateName, storage: GateStorage): Gate {
    const upstream = this.endpoints().find((endpoint) => endpoint.name === name)
    const credential = upstream?.credentials.find((each) => each.id === id)
    // An object of another version may know other credentials: its callers go on without it.
    if (upstream === undefined || credential?.id !== id) throw new Error('no such credential')
    return new Gate({
      upstream,
      credential,
      storage,
      outbound: this.#given.outbound,
      now: this.#given.seams.now,
    })
  }

  /** A repository as a request sees it; `admit` says whether it may cause a new pull-through. */
  repository(upstream: Upstream, name: MirroredName, admit: Admit): MirroredRepository {
    const { BLOBS: bucket, HINTS } = this.#env
    const client = this.#client(upstream)
    return new MirroredRepository({
      name,
      client,
      ledger: () => this.#ledgerStub(name),
      hints: new Hints(HINTS, this.#given.seams.log),
      manifests: new ManifestStore(bucket),
      memory: this.#given.memory,
      admit,
      contact: () => this.#given.access.contact(upstream.host),
      purges: () => this.#given.access.purges(),
      blobs: () =>
        new MirroredBlobs({
          name,
          client,
          admit,
          bucket,
          blobs: new BlobStore(bucket),
          fillOf: (key): FillStub => this.#env.BLOB_FILL.getByName(key),
          seams: this.#given.seams,
        }),
      seams: this.#given.seams,
    })
  }

  async #openBlob({ host, repository, digest }: FillRequest) {
    return openBlob(
      this.#client(this.#upstream(host)),
      { repository, digest },
      this.#given.seams.now,
    )
  }

  #ledgerStub(name: MirroredName): LedgerStub {
    return this.#env.MIRROR_LEDGER.getByName(canonicalName(name))
  }

  #client(upstream: Upstream, tally: UpstreamTally = this.#given.meter.tally): UpstreamClient {
    return new UpstreamClient(upstream, {
      outbound: this.#given.outbound,
      gateOf: (endpoint, credential) => this.#gateOf(endpoint, credential),
      tally,
      ...this.#given.seams,
    })
  }

  #gateOf(endpoint: Upstream, credential: Credential | undefined): GateStub {
    const name: GateName = { upstream: endpoint.name, credential: credential?.id }
    const stub = this.#gateStub(name)
    const distant: GateStub = {
      authorize: (repository, purpose, refusal) =>
        stub.authorize(name, repository, purpose, refusal),
      report: (report) => stub.report(name, report),
      standing: () => stub.standing(name),
    }
    return new DistantGate(distant, this.gate(name, passingStorage()))
  }

  #unknownStatus(): GateStatus {
    const lastError = { at: this.#given.seams.now(), reason: 'the object that knows is away' }
    const nothing = { budget: undefined, limitedUntil: undefined, restingUntil: undefined }
    return { ...nothing, nextAttempt: undefined, lastError }
  }

  #gateStub({ upstream, credential }: GateName) {
    return this.#env.UPSTREAM_GATE.getByName(`${upstream} ${credential ?? 'anonymous'}`)
  }

  /** @throws where there is none of that host. */
  #upstream(host: string): Upstream {
    const upstream = this.#given.config.upstreams.get(host)
    if (upstream === undefined) throw new Error(`${host} is not configured`)
    return upstream
  }
}

function nameOf({ host, repository }: FillRequest): MirroredName {
  return { host, repository }
}
