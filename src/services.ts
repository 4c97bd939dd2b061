// Composition. Per isolate: the configuration and the memory, the one state an isolate keeps. Per request
// or object: everything else, made of stored references only.

import { NO_SWITCHES } from './auth/switches.ts'
import { ConfigError, immutableTags, isSparse, parseConfig, settingsOf } from './config.ts'
import type { Config } from './config.ts'
import { SpareBuffers } from './hosted/spare-buffers.ts'
import { Exports } from './jobs/exports.ts'
import type { Admit } from './mirror/admission.ts'
import type { ManifestMemory } from './mirror/near-manifests.ts'
import { RegistryError } from './oci/error.ts'
import { clientOf } from './oci/host.ts'
import { Outbound, viaOf } from './outbound.ts'
import type { Opening } from './registry/open.ts'
import type { Defer, Log, Seams } from './seams.ts'
import { AccessServices } from './services/access.ts'
import type { AccessMemory } from './services/access.ts'
import { HostedServices } from './services/hosted.ts'
import type { HostedMemory } from './services/hosted.ts'
import { ImageServices } from './services/images.ts'
import { JobServices } from './services/jobs.ts'
import { MeterServices, meterMemory } from './services/meter.ts'
import type { MeterMemory } from './services/meter.ts'
import { MirrorServices } from './services/mirror.ts'
import { PinServices } from './services/pins.ts'
import { ReadServices, readMemory } from './services/reads.ts'
import type { ReadMemory } from './services/reads.ts'
import type { LocatedBlob } from './storage/located-blob.ts'
import { Memory } from './storage/memory.ts'
import { Redirects } from './storage/redirects.ts'
import { RepositoryMarkers } from './storage/repositories.ts'

/**
 * Manifests of either kind that an isolate keeps at hand (bytes), and hosted contents that it has seen.
 */
const MANIFEST_MEMORY = 16 * 1024 * 1024
const SEEN_MEMORY = 10_000
/** Uploads that may have two buffers of 8 MiB at the same time. */
const SPARE_BUFFERS = 2
const CLIENT_ADDRESS = 'CF-Connecting-IP'

interface IsolateState {
  readonly config: Config
  readonly memory: ManifestMemory
  readonly hostedMemory: HostedMemory
  readonly spareBuffers: SpareBuffers
  readonly access: AccessMemory
  readonly meter: MeterMemory
  readonly reads: ReadMemory
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
      purges: undefined,
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
      purges: undefined,
      purgesAskedAt: -Infinity,
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
      reads: readMemory(),
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
  /** What is mirrored. */
  readonly mirror: MirrorServices
  /** What was read. */
  readonly reads: ReadServices
  /** Long work. */
  readonly jobs: JobServices
  /** What is always to be here. */
  readonly pins: PinServices
  /** What there is to see. */
  readonly images: ImageServices
  readonly #env: Env
  readonly #outbound: Outbound
  readonly #redirects: Redirects | undefined

  constructor(env: Env, seams: Seams) {
    const isolate = isolateOf(env, seams.log)
    this.config = isolate.config
    this.via = isolate.via
    this.seams = seams
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
    const { config } = isolate
    const given = { env, seams, config, outbound: this.#outbound }
    this.access = new AccessServices({ ...given, memory: isolate.access })
    this.meter = new MeterServices({ env, seams, memory: isolate.meter })
    this.reads = new ReadServices({ env, seams, memory: isolate.reads })
    const { access, hosted, meter } = this
    this.mirror = new MirrorServices({ ...given, memory: isolate.memory, access, meter })
    this.jobs = new JobServices({ ...given, access, hosted, meter, mirror: this.mirror })
    this.pins = new PinServices({ env, seams, config, access, jobs: this.jobs })
    this.images = new ImageServices({ env, seams, config })
  }

  /** How a request opens repositories; `admit` says whether it may cause a new pull-through. */
  opening(admit: Admit): Opening {
    return {
      upstreams: this.config.upstreams,
      mirrored: (upstream, name) => this.mirror.repository(upstream, name, admit),
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

  /** What was exported. */
  exports(): Exports {
    return new Exports(this.#env.BLOBS)
  }

  /** Which repositories there are. */
  markers(): RepositoryMarkers {
    return new RepositoryMarkers(this.#env.BLOBS)
  }
}
