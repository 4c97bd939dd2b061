// Composition. Per isolate: the configuration and the memory, the one state an isolate keeps. Per request
// or object: everything else, made of stored references only.

import { NO_SWITCHES } from './auth/switches.ts'
import { ConfigError, immutableTags, isSparse, parseConfig, settingsOf } from './config.ts'
import type { Config } from './config.ts'
import { SpareBuffers } from './hosted/spare-buffers.ts'
import type { Admit } from './mirror/admission.ts'
import { FillKeeper } from './mirror/fill-keeper.ts'
import type { FillRequest } from './mirror/fill-keeper.ts'
import { Ledger } from './mirror/ledger.ts'
import { Listings } from './mirror/listings.ts'
import { MirroredBlobs } from './mirror/blobs.ts'
import type { FillStub } from './mirror/blobs.ts'
import { Records } from './mirror/records.ts'
import { MirroredRepository } from './mirror/repository.ts'
import type { LedgerStub, MirrorMemory } from './mirror/repository.ts'
import { RegistryError } from './oci/error.ts'
import { clientOf } from './oci/host.ts'
import { Outbound, viaOf } from './outbound.ts'
import type { Opening } from './registry/open.ts'
import type { Defer, Log, Seams } from './seams.ts'
import { AccessServices } from './services/access.ts'
import type { AccessMemory } from './services/access.ts'
import { HostedServices } from './services/hosted.ts'
import type { HostedMemory } from './services/hosted.ts'
import { MeterServices, meterMemory } from './services/meter.ts'
import type { MeterMemory } from './services/meter.ts'
import { BlobStore } from './storage/blobs.ts'
import { Hints } from './storage/hints.ts'
import { canonicalName } from './storage/keys.ts'
import type { MirroredName } from './storage/keys.ts'
import type { LocatedBlob } from './storage/located-blob.ts'
import { ManifestStore } from './storage/manifests.ts'
import { Memory } from './storage/memory.ts'
import { Redirects } from './storage/redirects.ts'
import { RepositoryMarkers } from './storage/repositories.ts'
import { openBlob } from './upstream/blob-source.ts'
import { UpstreamClient } from './upstream/client.ts'
import type { UpstreamTally } from './upstream/client.ts'
import { passingStorage } from './upstream/gate-storage.ts'
import type { GateStorage } from './upstream/gate-storage.ts'
import { DistantGate, Gate } from './upstream/gate.ts'
import type { GateName, GateStatus, GateStub } from './upstream/gate.ts'
import type { Credential, Upstream } from './upstream/upstream.ts'

/**
 * Manifests of either kind that an isolate keeps at hand (bytes), repositories whose last access it has told, and
 * hosted contents that it has seen.
 */
const MANIFEST_MEMORY = 16 * 1024 * 1024
const TOUCH_MEMORY = 10_000
const SEEN_MEMORY = 10_000
/** Uploads that may have two buffers of 8 MiB at the same time. */
const SPARE_BUFFERS = 2
const CLIENT_ADDRESS = 'CF-Connecting-IP'

interface IsolateState {
  readonly config: Config
  readonly memory: MirrorMemory
  readonly hostedMemory: HostedMemory
  readonly spareBuffers: SpareBuffers
  readonly access: AccessMemory
  readonly meter: MeterMemory
  /** Where clients may be sent for blobs; `undefined`: nowhere. */
  readonly redirects: Redirects | undefined
  readonly via: string
}

const isolates = new WeakMap<Env, IsolateState | ConfigError>()

/** The configuration and memory of this isolate. @throws {RegistryError} when the configuration is wrong. */
export function isolateOf(env: Env, log: Log): IsolateState {
  const known = isolates.get(env) ?? readIsolate(env, log)
  isolates.set(env, known)
  if (!(known instanceof ConfigError)) return known
  log('configuration-wrong', { reason: known.message })
  throw new RegistryError('UNKNOWN', {
    status: 503,
    message: 'the registry is not configured; its log says what is wrong',
  })
}

function readIsolate(env: Env, log: Log): IsolateState | ConfigError {
  try {
    const settings = settingsOf(env)
    const config = parseConfig(settings)
    for (const warning of config.warnings) log('configuration-surprising', { warning })
    const memory = {
      manifests: new Memory<never>(MANIFEST_MEMORY),
      touched: new Memory<true>(TOUCH_MEMORY),
    }
    const hostedMemory = {
      manifests: new Memory<Uint8Array>(MANIFEST_MEMORY),
      seen: new Memory<true>(SEEN_MEMORY),
    }
    const access = {
      snapshot: undefined,
      failedAt: -Infinity,
      changes: 0,
      switches: NO_SWITCHES,
      oidc: undefined,
      tokens: new WeakMap(),
    }
    return {
      config,
      memory,
      hostedMemory,
      spareBuffers: new SpareBuffers(SPARE_BUFFERS),
      access,
      meter: meterMemory(),
      redirects: config.redirect && new Redirects(config.redirect.bucket),
      via: viaOf(JSON.stringify(settings['UPSTREAMS'] ?? '')),
    }
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
}

/** The log as the platform takes it. */
export const printLog: Log = (event, fields) => {
  // oxlint-disable-next-line no-console -- the platform's log is the console
  console.log(formatLine(event, fields))
}

/** A line of the log: one JSON object. */
export function formatLine(event: string, fields: Parameters<Log>[1]): string {
  return JSON.stringify({ event, ...fields })
}

/** Seams of the real platform. `fetch` is looked up at each call, which lets a test replace it. */
export function platformSeams(waitUntil: (work: Promise<unknown>) => void, log: Log): Seams {
  const defer: Defer = (work) =>
    waitUntil(
      work.catch((error: unknown) => log('deferred-work-failed', { reason: String(error) })),
    )
  return { fetch: (url, init) => globalThis.fetch(url, init), now: () => Date.now(), defer, log }
}

/** What one request or one object works with. */
export class Services {
  readonly config: Config
  readonly seams: Seams
  readonly via: string
  /** What is hosted. */
  readonly hosted: HostedServices
  /** Who may do what. */
  readonly access: AccessServices
  /** What is counted. */
  readonly meter: MeterServices
  readonly #env: Env
  readonly #memory: MirrorMemory
  readonly #outbound: Outbound
  readonly #redirects: Redirects | undefined

  constructor(env: Env, seams: Seams) {
    const isolate = isolateOf(env, seams.log)
    this.config = isolate.config
    this.via = isolate.via
    this.seams = seams
    this.#memory = isolate.memory
    this.#redirects = isolate.redirects
    this.#env = env
    this.hosted = new HostedServices({
      env,
      seams,
      memory: isolate.hostedMemory,
      spareBuffers: isolate.spareBuffers,
      isSparse: (repository) => isSparse(isolate.config, repository),
      immutableOf: (repository) => immutableTags(isolate.config, repository),
    })
    this.#outbound = new Outbound(seams.fetch, isolate.via)
    const { config, access: memory } = isolate
    this.access = new AccessServices({ env, seams, config, memory, outbound: this.#outbound })
    this.meter = new MeterServices({ env, seams, memory: isolate.meter })
  }

  /** How a request opens repositories; `admit` says whether it may cause a new pull-through. */
  opening(admit: Admit): Opening {
    return {
      upstreams: this.config.upstreams,
      mirrored: (upstream, name) => this.#mirrored(upstream, name, admit),
      hosted: (name) => this.hosted.repository(name),
    }
  }

  /**
   * Who a client is to limits. Only the edge can be believed about an address, and only on a deployment is it in
   * front; an IPv6 client has its whole /64.
   */
  clientKey(request: Request): string {
    const address = request.cf === undefined ? null : request.headers.get(CLIENT_ADDRESS)
    return address === null ? 'local' : clientOf(address)
  }

  /** Whether clients can be sent to storage at all now; it costs nothing to ask. */
  mayRedirect(): boolean {
    return this.#redirects?.isAway(this.seams.now()) === false
  }

  /** The URL by which a client reads a blob at `endpoint`; `undefined` while it cannot. */
  async redirect(blob: LocatedBlob, endpoint: URL): Promise<string | undefined> {
    return this.#redirects?.locate(blob, endpoint, { outbound: this.#outbound, ...this.seams })
  }

  /** Which repositories there are. */
  markers(): RepositoryMarkers {
    return new RepositoryMarkers(this.#env.BLOBS)
  }

  /** Every upstream and every alternate. */
  endpoints(): readonly Upstream[] {
    return [...this.config.upstreams.values()].flatMap((each) => [each, ...each.alternates])
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
  ledger(
    name: MirroredName,
    storage: DurableObjectStorage,
  ): { ledger: Ledger; listings: Listings; records: Records } {
    const records = new Records(storage.sql)
    const client = this.#client(this.#upstream(name.host), this.meter.upstreams())
    const ledger = new Ledger({
      name,
      client,
      records,
      manifests: new ManifestStore(this.#env.BLOBS),
      markers: new RepositoryMarkers(this.#env.BLOBS),
      hints: new Hints(this.#env.HINTS, this.seams.log),
      ...this.seams,
    })
    return {
      ledger,
      records,
      listings: new Listings({ name, client, records, ledger, now: this.seams.now }),
    }
  }

  /** The state behind a `BlobFill`. */
  fillKeeper(storage: DurableObjectStorage): FillKeeper {
    return new FillKeeper({
      storage,
      bucket: this.#env.BLOBS,
      blobs: new BlobStore(this.#env.BLOBS),
      open: (request) => this.#openBlob(request),
      statedSize: (request) => this.#ledgerStub(request).size(nameOf(request), request.digest),
      tally: this.meter.fills(),
      ...this.seams,
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
      outbound: this.#outbound,
      now: this.seams.now,
    })
  }

  #mirrored(upstream: Upstream, name: MirroredName, admit: Admit): MirroredRepository {
    const { BLOBS: bucket, HINTS } = this.#env
    const client = this.#client(upstream)
    return new MirroredRepository({
      name,
      client,
      ledger: () => this.#ledgerStub(name),
      hints: new Hints(HINTS, this.seams.log),
      manifests: new ManifestStore(bucket),
      memory: this.#memory,
      admit,
      contact: () => this.access.contact(upstream.host),
      blobs: () =>
        new MirroredBlobs({
          name,
          client,
          admit,
          bucket,
          blobs: new BlobStore(bucket),
          fillOf: (key): FillStub => this.#env.BLOB_FILL.getByName(key),
          seams: this.seams,
        }),
      seams: this.seams,
    })
  }

  async #openBlob({ host, repository, digest }: FillRequest) {
    return openBlob(this.#client(this.#upstream(host)), { repository, digest }, this.seams.now)
  }

  #ledgerStub(name: MirroredName): LedgerStub {
    return this.#env.MIRROR_LEDGER.getByName(canonicalName(name))
  }

  #client(upstream: Upstream, tally: UpstreamTally = this.meter.tally): UpstreamClient {
    return new UpstreamClient(upstream, {
      outbound: this.#outbound,
      gateOf: (endpoint, credential) => this.#gateOf(endpoint, credential),
      tally,
      ...this.seams,
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
    const lastError = { at: this.seams.now(), reason: 'the object that knows is away' }
    const nothing = { budget: undefined, limitedUntil: undefined, restingUntil: undefined }
    return { ...nothing, nextAttempt: undefined, lastError }
  }

  #gateStub({ upstream, credential }: GateName) {
    return this.#env.UPSTREAM_GATE.getByName(`${upstream} ${credential ?? 'anonymous'}`)
  }

  #upstream(host: string): Upstream {
    const upstream = this.config.upstreams.get(host)
    if (upstream === undefined) throw new Error(`${host} is not configured`)
    return upstream
  }
}

function nameOf({ host, repository }: FillRequest): MirroredName {
  return { host, repository }
}
