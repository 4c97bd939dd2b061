// A hosted repository as a request sees it. The ledger decides, in every request anew; R2 and the memory of
// this isolate only supply bytes for the digests that it names.

import type { Descriptor } from '../oci/descriptor.ts'
import { isNonDistributable } from '../oci/descriptor.ts'
import { algorithmOf, digestOf } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { inspectManifest } from '../oci/manifest.ts'
import type { ManifestInspection } from '../oci/manifest.ts'
import type { Page } from '../oci/page.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import type { ReferrersPage } from '../oci/referrers.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Log } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import { hostedManifestKey } from '../storage/keys.ts'
import type { ManifestStore } from '../storage/manifests.ts'
import type { Memory } from '../storage/memory.ts'
import { HostedBlobs } from './blobs.ts'
import type { HostedBlobsGiven } from './blobs.ts'
import type { RepositoryLedger } from './ledger.ts'
import type { LedgerManifest, ManifestPut as LedgerPut } from './ledger.ts'
import type { Referrer } from './manifest-records.ts'
import type { TagRules } from './tag-rules.ts'
import { answered, asked, available } from './unavailable.ts'
import type { Upload } from './upload-session.ts'

/** A client waits: storage has so long (milliseconds). */
const WITHIN = 10_000
/** A manifest that names more than this is refused: checking each would hold up the repository. */
const MAX_DESCRIPTORS = 10_000

/** The methods of a class as a stub has them: asked from elsewhere, so that each answer is waited for. */
export type Distant<Class, Methods extends keyof Class> = {
  readonly [Method in Methods]: Class[Method] extends (...given: infer Given) => infer Answer
    ? (...given: Given) => Promise<Awaited<Answer>>
    : never
}

/** A `HostedLedger` as this room sees it. */
export type LedgerStub = Distant<
  RepositoryLedger,
  | 'blob'
  | 'hold'
  | 'relocate'
  | 'manifest'
  | 'putManifest'
  | 'deleteTag'
  | 'deleteManifest'
  | 'deleteBlob'
  | 'tags'
  | 'referrers'
>

/** An `UploadSession` as this room sees it. */
export type UploadStub = Distant<Upload, 'open' | 'append' | 'close' | 'status' | 'cancel'>

/** A manifest as it was pushed: its reference, and the tags that it gets besides. */
export interface PushedManifest {
  readonly bytes: Uint8Array
  readonly contentType: string | null
  readonly reference: Reference
  readonly tags: readonly Tag[]
  /** Whether whoever pushes it may let a tag point at another manifest. */
  readonly mayMove: boolean
  /**
   * Manifests that it may name although they are not there: an import of some platforms leaves the others out. No
   * client has a way to say this.
   */
  readonly mayLack?: readonly string[]
}

/** What becomes of it: it is stored; it is no manifest; it has another digest; content that it names is missing. */
export type PushAnswer =
  | { readonly ok: true; readonly digest: Digest; readonly subject: Digest | undefined }
  | { readonly ok: false; readonly reason: 'invalid'; readonly why: string }
  | { readonly ok: false; readonly reason: 'digest' }
  | { readonly ok: false; readonly reason: 'missing'; readonly digests: readonly string[] }

/** What a hosted repository is given. */
export interface HostedRepositoryGiven extends Pick<
  HostedBlobsGiven,
  'blobs' | 'seen' | 'now' | 'log'
> {
  readonly name: RepositoryName
  /** Whether its manifests may name what is not there. */
  readonly isSparse: boolean
  /** Patterns of tags that nobody moves or removes. */
  readonly immutable: readonly string[]
  readonly ledgerOf: (repository: RepositoryName) => LedgerStub
  readonly holdersOf: (digest: Digest) => Promise<readonly RepositoryName[]>
  readonly uploadOf: (session: string) => UploadStub
  readonly manifests: ManifestStore
  readonly memory: Memory<Uint8Array>
  readonly log: Log
}

const NOT_FOUND = { ok: false, failure: { kind: 'not-found' } } as const

/** Reads and changes one hosted repository. Every method throws UNKNOWN (503) while storage or an object is away. */
export class HostedRepository {
  readonly kind = 'hosted'
  readonly blobs: HostedBlobs
  readonly #given: HostedRepositoryGiven
  readonly #ledger: LedgerStub

  constructor(given: HostedRepositoryGiven) {
    this.#given = given
    this.#ledger = given.ledgerOf(given.name)
    this.blobs = new HostedBlobs({
      ...given,
      locate: (digest, isWanted) => this.#ledger.blob(digest, isWanted),
      relocate: (digest) => this.#ledger.relocate(digest),
    })
  }

  /** The manifest of a reference: one call of the ledger, and one R2 read unless this isolate has the bytes. */
  async manifest(reference: Reference) {
    return available(this.#manifest(reference))
  }

  /** One page of tags. */
  async tags(page: Page) {
    const answer = await available(asked(() => this.#ledger.tags(page)))
    return answer.ok ? { ...listed(answer), ok: true as const } : NOT_FOUND
  }

  /** One page of referrers; a repository that has nothing has none. */
  async referrers(digest: Digest, page: ReferrersPage) {
    const taken = await available(asked(() => this.#ledger.referrers(digest, page)))
    return { ...listed<Descriptor>(taken), ok: true as const }
  }

  /**
   * Stores a manifest exactly as it is, once everything that it needs is there.
   * @throws {RegistryError} DENIED where a tag may not be moved.
   */
  async putManifest(pushed: PushedManifest): Promise<PushAnswer> {
    const { bytes, contentType, reference, tags, mayMove, mayLack = [] } = pushed
    const isDigest = reference.kind === 'digest'
    const algorithm = isDigest ? algorithmOf(reference.digest) : 'sha256'
    const digest = await digestOf(bytes, algorithm)
    if (isDigest && digest !== reference.digest) return { ok: false, reason: 'digest' }
    const inspection = inspectManifest(bytes, contentType)
    const why = refusalOf(inspection)
    if (!inspection.ok || why !== undefined) {
      return { ok: false, reason: 'invalid', why: why ?? 'not a manifest' }
    }
    const put = {
      ...described(inspection, digest, bytes),
      bytes,
      tags: isDigest ? tags : [reference.tag, ...tags],
      needs: this.#given.isSparse ? { blobs: [], manifests: [] } : needsOf(inspection, mayLack),
      tagRules: { mayMove, immutable: this.#given.immutable },
    }
    const answer = await available(answered(this.#ledger.putManifest(put)))
    if ('fixed' in answer) throw fixed(answer.fixed.join(', '))
    if (!answer.ok) return { ok: false, reason: 'missing', digests: answer.missing }
    this.#remember(digest, bytes)
    return { ok: true, digest, subject: inspection.subject }
  }

  /** Removes a tag. False: there was none. @throws {RegistryError} DENIED where it is immutable. */
  async deleteTag(tag: Tag): Promise<boolean> {
    const removal = await available(answered(this.#ledger.deleteTag(tag, this.#rules)))
    if (removal === 'fixed') throw fixed(tag)
    return removal
  }

  /** Removes a manifest with all its tags. False: there was none. @throws {RegistryError} DENIED where an immutable tag leads to it. */
  async deleteManifest(digest: Digest): Promise<boolean> {
    const removal = await available(answered(this.#ledger.deleteManifest(digest, this.#rules)))
    if (removal === 'fixed') throw fixed(digest)
    return removal
  }

  /** Removes a blob. False: there was none. @throws {RegistryError} DENIED where an immutable tag leads to it. */
  async deleteBlob(digest: Digest): Promise<boolean> {
    const removal = await available(answered(this.#ledger.deleteBlob(digest, this.#rules)))
    if (removal === 'fixed') throw fixed(digest)
    return removal
  }

  /** Takes a blob over from the first of these repositories that has it. False: none has. */
  async mount(digest: Digest, from: readonly RepositoryName[]): Promise<boolean> {
    return available(this.#mount(digest, from))
  }

  /** The repositories that have a blob, whoever may see them. */
  async holders(digest: Digest): Promise<readonly RepositoryName[]> {
    return available(asked(() => this.#given.holdersOf(digest)))
  }

  /** An upload to this repository. */
  upload(session: string): UploadStub {
    const stub = this.#given.uploadOf(session)
    return {
      open: () => available(stub.open()),
      append: (chunk, body) => available(stub.append(chunk, body)),
      close: (closing, body) => available(stub.close(closing, body)),
      status: () => available(stub.status()),
      cancel: () => available(stub.cancel()),
    }
  }

  async #manifest(reference: Reference) {
    const known = await asked(() => this.#ledger.manifest(reference))
    const bytes = known && (await this.#bytes(known))
    if (known === undefined || bytes === undefined) return NOT_FOUND
    const clocks = { verifiedAt: Infinity, until: 0, warning: undefined }
    return { ok: true as const, ...known, bytes, outcome: 'hit' as const, ...clocks }
  }

  async #bytes({ digest }: LedgerManifest): Promise<Uint8Array | undefined> {
    const { name, manifests, memory, log } = this.#given
    const held = memory.get(this.#memoryKey(digest), 0)
    if (held !== undefined) return held
    const stored = manifests.get(hostedManifestKey(name, digest), digest)
    const manifest = await inTime(stored, WITHIN, 'storage does not answer')
    if (manifest === undefined) {
      log('hosted-manifest-missing', { repository: name, digest })
      return undefined
    }
    this.#remember(digest, manifest.bytes)
    return manifest.bytes
  }

  async #mount(digest: Digest, from: readonly RepositoryName[]): Promise<boolean> {
    for (const source of from) {
      // Wanted, so that the source keeps it until the claim stands.
      const content = await answered(this.#given.ledgerOf(source).blob(digest, true))
      if (content !== undefined) return (await answered(this.#ledger.hold(digest))).ok
    }
    return false
  }

  get #rules(): TagRules {
    return { mayMove: true, immutable: this.#given.immutable }
  }

  #remember(digest: Digest, bytes: Uint8Array): void {
    const options = { size: bytes.byteLength, until: Infinity }
    this.#given.memory.put(this.#memoryKey(digest), bytes, options)
  }

  #memoryKey(digest: Digest): string {
    return `${this.#given.name}@${digest}`
  }
}

/** What stays as it is, whoever asks. */
function fixed(what: string): RegistryError {
  return new RegistryError('DENIED', { message: `${what} exists and may not be changed` })
}

function listed<Item>({
  items,
  next,
}: {
  readonly items: readonly Item[]
  readonly next: string | undefined
}) {
  return { items, next, outcome: 'hit' as const, warning: undefined }
}

function refusalOf(inspection: ManifestInspection): string | undefined {
  if (!inspection.ok) return inspection.reason
  if (inspection.malformed !== undefined) return `${inspection.malformed} is no descriptor`
  const isTooMany = inspection.descriptors.length > MAX_DESCRIPTORS
  return isTooMany ? `more than ${MAX_DESCRIPTORS} descriptors` : undefined
}

type Inspected = Extract<ManifestInspection, { ok: true }>

/** What the ledger keeps of a manifest. */
function described(
  { mediaType, contents, subject, artifactType, annotations }: Inspected,
  digest: Digest,
  bytes: Uint8Array,
): Pick<LedgerPut, 'digest' | 'mediaType' | 'children' | 'referrer'> {
  const named = [...contents.blobs, ...contents.manifests].map((child) => child.digest)
  const descriptor: Descriptor = {
    mediaType,
    digest,
    size: bytes.byteLength,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations !== undefined && { annotations }),
  }
  const referrer: Referrer | undefined = subject && { subject, descriptor }
  return { digest, mediaType, children: [...new Set(named)], referrer }
}

/** What must be there: not what may not be distributed or may be left out, and not the subject, which may come later. */
function needsOf({ contents }: Inspected, mayLack: readonly string[]): LedgerPut['needs'] {
  const distributed = contents.blobs.filter(({ mediaType }) => !isNonDistributable(mediaType))
  return {
    blobs: digestsOf(distributed),
    manifests: digestsOf(contents.manifests).filter((digest) => !mayLack.includes(digest)),
  }
}

function digestsOf(descriptors: readonly Descriptor[]): readonly string[] {
  return [...new Set(descriptors.map(({ digest }) => digest))]
}
