// The manifests that a `MirrorLedger` has stored: bytes in R2, rows in SQLite, hints in KV, and the last
// ones at hand. Storage that fails or does not answer is noted and otherwise the same as storage that has
// nothing.

import type { Digest } from '../oci/digest.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import type { Defer, Log, Now } from '../seams.ts'
import type { Hints } from '../storage/hints.ts'
import { canonicalName, mirroredManifestKey } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { ManifestStore } from '../storage/manifests.ts'
import { Memory } from '../storage/memory.ts'
import type { FetchedManifest, Manifest } from '../upstream/manifests.ts'
import type { Marker } from './marker.ts'
import { storing } from './output.ts'
import { PATIENCE } from './patience.ts'
import type { Records } from './records.ts'

/** Manifests that one object keeps at hand for the minute in which KV does not show them yet (bytes). */
const MEMORY = 8 * 1024 * 1024
/** KV is told again after so long, also when nothing has changed (milliseconds). */
const HINT_TTL = 60 * 60 * 1000
/** A manifest that is not stored by then is served without being stored: a client waits (milliseconds). */
const WRITE_WITHIN = 5000
/** By this R2 says that one key was written more than once a second. */
const TOO_MANY_WRITES = '(10058)'

/** Where manifests are kept, and for which repository. */
export interface ManifestKeeperGiven {
  readonly name: MirroredName
  readonly records: Records
  readonly manifests: ManifestStore
  readonly marker: Marker
  readonly hints: Hints
  readonly now: Now
  readonly defer: Defer
  readonly log: Log
}

/** A tag or manifest whose rows are gone, and whose hint and bytes are to be deleted. */
export interface Deletion {
  readonly reference: Reference
  readonly isHinted: boolean
}

/** Keeps the manifests of one repository. */
export class ManifestKeeper {
  readonly #given: ManifestKeeperGiven
  readonly #memory = new Memory<Manifest>(MEMORY)
  readonly #writes = new Map<Digest, Promise<boolean>>()
  /** Bytes that are being deleted. */
  readonly #deletions = new Map<Digest, Promise<unknown>>()
  /** What KV is being told. */
  readonly #hinting = new Set<Promise<void>>()

  constructor(given: ManifestKeeperGiven) {
    this.#given = given
  }

  /** The manifest, if it was stored and its bytes are still there; KV is told of it. */
  async get(digest: Digest): Promise<Manifest | undefined> {
    if (this.#given.records.manifest(digest) === undefined) return undefined
    const stored = await this.#read(digest)
    if (stored !== undefined) this.hint(stored)
    return stored
  }

  /** Stores bytes first, then the row that points at them. Tells whether that was possible. */
  async put(manifest: FetchedManifest): Promise<boolean> {
    const { digest } = manifest
    // Bytes that are deleted after they were written again would leave a row without any.
    await this.#deletions.get(digest)
    if (this.#isStored(manifest)) return true
    const running = this.#writes.get(digest)
    if (running !== undefined) return running
    const write = this.#write(manifest).finally(() => this.#writes.delete(digest))
    this.#writes.set(digest, write)
    return write
  }

  /** Tells KV of a stored manifest, once an hour. */
  hint(manifest: Manifest): void {
    const { records, hints, name, now } = this.#given
    const record = records.manifest(manifest.digest)
    // It may have been forgotten while it was read.
    if (record === undefined || now() - record.hintedAt < HINT_TTL) return
    records.hintManifest(manifest.digest, now())
    this.#tell(hints.putManifest(name, { ...manifest, verifiedAt: now() }))
  }

  /** Tells KV what a tag points at, when that has changed and once an hour. */
  hintTag(tag: Tag, manifest: Manifest, verifiedAt: number): void {
    const { records, hints, name } = this.#given
    const record = records.tag(tag)
    if (record === undefined) return
    const isCurrent =
      record.hintedDigest === manifest.digest && verifiedAt - record.hintedAt < HINT_TTL
    if (isCurrent) return
    records.hintTag(tag, manifest.digest, verifiedAt)
    this.#tell(hints.putTag(name, tag, { ...manifest, verifiedAt }))
    this.hint(manifest)
  }

  /**
   * Deletes the hints, and then the bytes, of tags and manifests whose rows are gone. Those of which it is certain that
   * nothing is left, or that were stored again meanwhile.
   */
  async delete(deletions: readonly Deletion[]): Promise<readonly (Tag | Digest)[]> {
    const digests = deletions.flatMap(({ reference }) =>
      reference.kind === 'digest' ? [reference.digest] : [],
    )
    for (const digest of digests) this.#memory.delete(digest)
    // What was begun before must not come after.
    await Promise.allSettled([
      ...this.#hinting,
      ...digests.flatMap((digest) => this.#writes.get(digest) ?? []),
    ])
    const isForgotten = await Promise.all(deletions.map((each) => this.#deleteHint(each)))
    const isGone = await this.#deleteBytes(digests)
    return deletions
      .filter(
        ({ reference }, index) =>
          isForgotten[index] === true && (isGone || reference.kind === 'tag'),
      )
      .map(({ reference }) => (reference.kind === 'tag' ? reference.tag : reference.digest))
  }

  async #deleteHint({ reference, isHinted }: Deletion): Promise<boolean> {
    const { name, hints } = this.#given
    if (!isHinted) return true
    return reference.kind === 'tag'
      ? hints.deleteTag(name, reference.tag)
      : hints.deleteManifest(name, reference.digest)
  }

  async #deleteBytes(digests: readonly Digest[]): Promise<boolean> {
    const { records, name, manifests, log } = this.#given
    const gone = digests.filter(
      (digest) => records.manifest(digest) === undefined && !this.#writes.has(digest),
    )
    if (gone.length === 0) return true
    const keys = gone.map((digest) => mirroredManifestKey(name, digest))
    const deleted = storing(manifests.delete(keys), PATIENCE.storage).then(
      () => true,
      (error: unknown) => {
        log('manifest-delete-failed', { repository: canonicalName(name), reason: String(error) })
        return false
      },
    )
    for (const digest of gone) this.#deletions.set(digest, deleted)
    const isGone = await deleted
    for (const digest of gone) this.#deletions.delete(digest)
    return isGone
  }

  /** Nobody waits for it, except who deletes it. */
  #tell(hint: Promise<void>): void {
    const told = hint.finally(() => this.#hinting.delete(told))
    this.#hinting.add(told)
    this.#given.defer(told)
  }

  /** Whether it was stored and this object has seen its bytes there: a row alone may point at lost ones. */
  #isStored({ digest, mediaType }: Manifest): boolean {
    const { records, now } = this.#given
    const isHeld = this.#memory.get(digest, now()) !== undefined
    return isHeld && records.manifest(digest)?.mediaType === mediaType
  }

  async #write(manifest: FetchedManifest): Promise<boolean> {
    const { marker, records, now } = this.#given
    const { digest, mediaType, bytes } = manifest
    let isLate = false
    const stored = marker.during(async () => {
      await this.#store(manifest)
      // Whoever waited for it has said that it was not stored.
      if (!isLate) records.putManifest(manifest, now())
    })
    try {
      await storing(stored, WRITE_WITHIN)
      this.#hold({ digest, mediaType, bytes })
      return true
    } catch (error) {
      isLate = true
      this.#logFailure('manifest-write-failed', digest, error)
      return false
    }
  }

  async #store({ digest, mediaType, bytes }: Manifest): Promise<void> {
    const { manifests, name } = this.#given
    const key = mirroredManifestKey(name, digest)
    try {
      await manifests.put(key, digest, { bytes, mediaType })
    } catch (error) {
      // What another has just written under this key is this manifest, or it is damaged.
      if (!String(error).includes(TOO_MANY_WRITES)) throw error
      if ((await manifests.get(key, digest)) === undefined) throw error
    }
  }

  async #read(digest: Digest): Promise<Manifest | undefined> {
    const { manifests, records, name, now } = this.#given
    const held = this.#memory.get(digest, now())
    if (held !== undefined) return held
    try {
      const read = manifests.get(mirroredManifestKey(name, digest), digest)
      const stored = await storing(read, PATIENCE.lookup)
      if (stored === undefined) return undefined
      const manifest = { digest, ...stored }
      // What was forgotten while it was read is not remembered.
      return records.manifest(digest) === undefined ? manifest : this.#hold(manifest)
    } catch (error) {
      this.#logFailure('manifest-read-failed', digest, error)
      return undefined
    }
  }

  #hold(manifest: Manifest): Manifest {
    const size = manifest.bytes.byteLength
    this.#memory.put(manifest.digest, manifest, { size, until: Infinity })
    return manifest
  }

  #logFailure(event: string, digest: Digest, error: unknown): void {
    const { name, log } = this.#given
    log(event, { repository: canonicalName(name), digest, reason: String(error) })
  }
}
