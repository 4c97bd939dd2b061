// One image of an import: its manifests with all that they are made of, children first; then whatever refers to it,
// by subject or by a tag made of its digest, and what refers to that; and its tags last. Nothing is rewritten.

import { isNonDistributable } from '../oci/descriptor.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { algorithmOf, parseDigest } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { MEDIA_TYPE, inspectManifest } from '../oci/manifest.ts'
import type { ManifestInspection } from '../oci/manifest.ts'
import { parseTag } from '../oci/reference.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import { referrersTag } from '../oci/referrers.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { cosignTags } from '../oci/signature.ts'
import type { Hosted } from '../registry/repository.ts'
import type { BlobCopier } from './import-blob.ts'
import { checkPlatform } from './import-config.ts'
import { absent, fixed, lacking, permanent, whyNot } from './import-failure.ts'
import { ItemFailure, settleAll } from './import-pace.ts'
import type { Pace } from './import-pace.ts'
import { choosePlatforms } from './import-platforms.ts'
import type {
  ImportImage,
  ImportOutcome,
  ImportRecords,
  PendingManifest,
} from './import-records.ts'
import { SourceError } from './import-source.ts'
import type { ImportSource, SourceManifest } from './import-source.ts'

/** References from an image to what refers to what refers to it … that are followed. */
const MAX_DEPTH = 5
/** Indexes in indexes. */
const MAX_NESTING = 5
/** Manifests of one image, with all that refers to it. */
const MAX_MANIFESTS = 10_000
const TOO_MANY = `it has more than ${MAX_MANIFESTS} manifests, with all that refers to it`
/** Manifests that are searched at once for what refers to them. */
const SEARCHED = 4

const MANIFEST_TYPES: readonly string[] = [
  MEDIA_TYPE.OCI_INDEX,
  MEDIA_TYPE.OCI_MANIFEST,
  MEDIA_TYPE.OCI_ARTIFACT,
  MEDIA_TYPE.DOCKER_LIST,
  MEDIA_TYPE.DOCKER_MANIFEST,
]

type Inspected = Extract<ManifestInspection, { ok: true }>

/** What copying an image needs, for one step. */
export interface ImageGiven {
  readonly source: ImportSource
  readonly target: Hosted
  /** Whether the tag may not be let point at another manifest. */
  readonly isFixed: (target: RepositoryName, tag: Tag) => boolean
  /** Whether the tags that refer to an image are imported by themselves. */
  readonly hasAllTags: boolean
  readonly platforms: readonly string[]
  readonly blobs: BlobCopier
  readonly records: ImportRecords
  readonly pace: Pace
  /** Tells that something that refers to the image could not be copied. */
  readonly failed: (digest: Digest, why: string) => void
}

/** What has come of an image. */
export interface ImageEnd {
  readonly outcome: ImportOutcome
  readonly digest: Digest
  readonly bytes: number
  readonly referrers: number
}

/** Copies one image, from wherever an earlier step has left it. */
export class ImageCopier {
  readonly #given: ImageGiven
  readonly #image: ImportImage
  /** What was asked for by a tag, so that it need not be asked for by its digest. */
  readonly #fetched = new Map<Digest, SourceManifest>()
  /** What was copied in this step, of the image itself and of what refers to it. */
  readonly #copied = new Set<string>()
  /** How many manifests are noted. */
  #count: number | undefined
  #digestTags: Promise<ReadonlySet<string> | undefined> | undefined

  constructor(given: ImageGiven, image: ImportImage) {
    this.#given = given
    this.#image = image
  }

  /** @throws {ItemFailure} where it can never be copied, `SourceError`, `StepOver` or `Halt`. */
  async copy(): Promise<ImageEnd> {
    const { records } = this.#given
    const { number } = this.#image
    const root = await this.#resolve()
    for (;;) {
      const [next] = records.manifests(number, 'copy', 1)
      if (next !== undefined) {
        await this.#copyRoot(next)
        continue
      }
      const searched = records.manifests(number, 'search', SEARCHED)
      if (searched.length === 0) break
      await settleAll(searched.map((each) => this.#search(each)))
    }
    await this.#setTags(root)
    const { bytes = 0, puts = 0 } = records.image(number) ?? {}
    const outcome = puts > 0 || bytes > 0 ? 'copied' : 'present'
    return { outcome, digest: root, bytes, referrers: records.countReferrers(number) }
  }

  /** What the reference means, asked once. */
  async #resolve(): Promise<Digest> {
    const { records, pace } = this.#given
    const { number, reference, digest } = this.#image
    if (digest !== undefined) return digest
    await pace.spend()
    const found =
      reference.kind === 'digest' ? reference.digest : await this.#digestOfTag(reference)
    await this.#checkTag(found)
    records.resolved(number, found)
    return found
  }

  async #digestOfTag(reference: Reference): Promise<Digest> {
    const manifest = await this.#given.source.manifest(reference)
    this.#fetched.set(manifest.digest, manifest)
    return manifest.digest
  }

  /** A tag that may not be moved is found out before anything is fetched for it. */
  async #checkTag(digest: Digest): Promise<void> {
    const { target, isFixed } = this.#given
    const { tag, target: name } = this.#image
    if (tag === undefined || !isFixed(name, tag)) return
    const current = await target.manifest({ kind: 'tag', tag })
    if (current.ok && current.digest !== digest) throw fixed(tag, current.digest)
  }

  /** Copies a manifest that no other one here names: the image itself, or something that refers to it. */
  async #copyRoot({ digest, depth }: PendingManifest): Promise<void> {
    const { records, failed } = this.#given
    const { number } = this.#image
    try {
      await this.#copyTree(digest, { depth, nesting: 0 })
      records.enter(number, digest, 'search')
    } catch (error) {
      const why = permanent(error)
      if (depth === 0 || why === undefined) throw error
      records.enter(number, digest, 'failed')
      failed(digest, why)
    }
  }

  /** Copies a manifest after all that it names. */
  async #copyTree(
    digest: Digest,
    at: { readonly depth: number; readonly nesting: number },
  ): Promise<void> {
    if (this.#isCopied(digest, at.depth)) return
    const { depth, nesting } = at
    await this.#given.pace.spend()
    if (nesting > MAX_NESTING) throw new ItemFailure('its indexes are nested too deeply')
    const held = await this.#held(digest)
    const manifest = held ?? (await this.#fetch(digest))
    const inspected = inspect(manifest)
    const { taken, left } = await this.#choose(inspected, at)
    for (const below of new Set(taken.filter(isManifest).map(digestOf))) {
      await this.#copyTree(below, { depth, nesting: nesting + 1 })
      this.#note({ digest: below, depth, isRoot: false }, 'search')
    }
    // Of one that is there, blobs may have been deleted.
    await this.#copyBlobs([
      ...inspected.contents.blobs,
      ...taken.filter((each) => !isManifest(each)),
    ])
    if (held === undefined) {
      await this.#put(manifest, { tags: [], mayLack: left.map((each) => each.digest) })
    }
    this.#copied.add(walkedAs(digest, depth))
  }

  /** Whether a manifest was copied with all that it names, in this step or before: nothing of it is looked at again. */
  #isCopied(digest: Digest, depth: number): boolean {
    if (this.#copied.has(walkedAs(digest, depth))) return true
    const { records, platforms } = this.#given
    const known = records.copiedAt(this.#image.number, digest)
    if (known === undefined) return false
    // Of the image itself only some platforms may have been taken.
    return platforms.length === 0 || known > 0 || depth === 0
  }

  async #held(digest: Digest): Promise<SourceManifest | undefined> {
    const answer = await this.#given.target.manifest({ kind: 'digest', digest })
    if (!answer.ok || answer.bytes === undefined) return undefined
    return { digest, mediaType: answer.mediaType, bytes: answer.bytes }
  }

  async #fetch(digest: Digest): Promise<SourceManifest> {
    const fetched = this.#fetched.get(digest)
    if (fetched !== undefined) return fetched
    try {
      return await this.#given.source.manifest({ kind: 'digest', digest })
    } catch (error) {
      if (!(error instanceof SourceError) || error.failure.kind !== 'not-found') throw error
      throw new ItemFailure(`the source does not have ${digest}`)
    }
  }

  /** What is taken of a manifest's children: of the image itself, those for the platforms that are wanted. */
  async #choose(
    { contents: { manifests, blobs } }: Inspected,
    { depth, nesting }: { readonly depth: number; readonly nesting: number },
  ): Promise<{ readonly taken: readonly Descriptor[]; readonly left: readonly Descriptor[] }> {
    const { platforms } = this.#given
    const all = { taken: manifests, left: [] }
    if (platforms.length === 0 || depth > 0) return all
    if (manifests.length === 0) {
      if (nesting === 0) await checkPlatform(blobs, this.#given)
      return all
    }
    const choice = choosePlatforms(manifests, platforms)
    if (choice.ok) return choice
    // One index of several has not all.
    if (nesting > 0) return all
    throw lacking(choice.missing, choice.has)
  }

  /** Each once; what must not be distributed stays where it is. */
  async #copyBlobs(descriptors: readonly Descriptor[]): Promise<void> {
    const { blobs, source, records } = this.#given
    const { number, target, host, source: from } = this.#image
    const distributed = descriptors.filter(({ mediaType }) => !isNonDistributable(mediaType))
    const unique = new Map(distributed.map((each) => [digestOf(each), each.size]))
    await settleAll(
      [...unique].map(async ([digest, size]) => {
        const advanced = (): void => records.done(number, { bytes: 0, puts: 0 })
        const order = { source, host, from, target, digest, size, advanced }
        const bytes = await blobs.copy(order)
        if (bytes > 0) records.done(number, { bytes, puts: 0 })
      }),
    )
  }

  /** Notes everything that refers to a manifest. */
  async #search({ digest, depth }: PendingManifest): Promise<void> {
    const { source, records, pace, hasAllTags } = this.#given
    const { number } = this.#image
    await pace.spend()
    if (depth < MAX_DEPTH) {
      const found = await absent(source.referrers(digest))
      const tags = depth > 0 || hasAllTags ? [] : await this.#tagsOf(digest)
      for (const tag of tags) {
        const tagged = await absent(this.#digestOfTag({ kind: 'tag', tag }))
        if (tagged === undefined) continue
        records.addTag(number, tag, tagged)
        this.#note({ digest: tagged, depth: depth + 1, isRoot: true }, 'copy')
      }
      for (const each of found ?? []) {
        this.#note({ digest: each, depth: depth + 1, isRoot: true }, 'copy')
      }
    }
    records.enter(number, digest, 'done')
  }

  /** The tags that may refer to a manifest; those of another algorithm are not listed with the others. */
  async #tagsOf(digest: Digest): Promise<readonly Tag[]> {
    this.#digestTags ??= absent(this.#given.source.digestTags())
    const known = algorithmOf(digest) === 'sha256' ? await this.#digestTags : undefined
    return tagsOf(digest).filter((tag) => known === undefined || known.has(tag))
  }

  /** Adds a manifest, unless it is there. @throws {ItemFailure} where there are too many. */
  #note(manifest: PendingManifest, stage: 'copy' | 'search'): void {
    const { records } = this.#given
    const { number } = this.#image
    this.#count ??= records.countManifests(number)
    if (!records.addManifest(number, manifest, stage)) return
    this.#count += 1
    if (this.#count > MAX_MANIFESTS) throw new ItemFailure(TOO_MANY)
  }

  /** What refers to the image first, so that whoever sees the image sees that too. */
  async #setTags(root: Digest): Promise<void> {
    const { records, failed } = this.#given
    const { number, tag } = this.#image
    for (const each of records.tags(number)) {
      try {
        await this.#setTag(each.tag, each.digest)
      } catch (error) {
        const why = permanent(error)
        if (why === undefined) throw error
        failed(each.digest, why)
      }
    }
    if (tag !== undefined) await this.#setTag(tag, root)
  }

  async #setTag(tag: Tag, digest: Digest): Promise<void> {
    const { target, isFixed, pace, platforms } = this.#given
    const current = await target.manifest({ kind: 'tag', tag })
    if (current.ok && current.digest === digest) return
    if (current.ok && isFixed(this.#image.target, tag)) throw fixed(tag, current.digest)
    await pace.check()
    const held = await this.#held(digest)
    if (held === undefined) throw new Error(`${digest} has gone meanwhile`)
    // What it may lack was decided when it was put.
    const children = platforms.length === 0 ? [] : inspect(held).contents.manifests
    const mayLack = children.map((each) => each.digest)
    await this.#put(held, { tags: [tag], mayLack })
  }

  async #put(
    { digest, mediaType, bytes }: SourceManifest,
    { tags, mayLack }: { readonly tags: readonly Tag[]; readonly mayLack: readonly string[] },
  ): Promise<void> {
    const { target, records } = this.#given
    const answer = await target.putManifest({
      bytes,
      contentType: mediaType,
      reference: { kind: 'digest', digest },
      tags,
      mayMove: true,
      mayLack,
    })
    if (!answer.ok) throw new ItemFailure(`${digest}: ${whyNot(answer)}`)
    const isNew = tags.length === 0
    records.done(this.#image.number, { bytes: isNew ? bytes.byteLength : 0, puts: 1 })
  }
}

/** The tags by which clients refer to a manifest where a registry has no referrers. */
function tagsOf(digest: Digest): readonly Tag[] {
  const fallback = parseTag(referrersTag(digest))
  return [...(fallback === undefined ? [] : [fallback]), ...cosignTags(digest)]
}

/** Of the image itself fewer platforms are taken than of what refers to it. */
function walkedAs(digest: Digest, depth: number): string {
  return depth === 0 ? digest : `referrer ${digest}`
}

function inspect({ bytes, mediaType }: SourceManifest): Inspected {
  const inspected = inspectManifest(bytes, mediaType)
  if (!inspected.ok) throw new ItemFailure(`no manifest: ${inspected.reason}`)
  const { manifests, blobs } = inspected.contents
  if (manifests.length + blobs.length <= MAX_MANIFESTS) return inspected
  throw new ItemFailure(`a manifest of it names more than ${MAX_MANIFESTS} others and blobs`)
}

/** What an index names is a manifest, unless it is none: caches of builders name layers there. */
function isManifest({ mediaType }: Descriptor): boolean {
  return MANIFEST_TYPES.includes(mediaType)
}

function digestOf({ digest }: Descriptor): Digest {
  const parsed = parseDigest(digest)
  if (parsed !== undefined) return parsed
  throw new ItemFailure(`${digest} is of an algorithm that cannot be verified here`)
}
