// The manifests that a `MirrorLedger` has stored: bytes in R2, rows in SQLite, hints in KV, and the last
// ones at hand. Storage that fails or does not answer is noted and otherwise the same as storage that has
// nothing.

import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { Defer, Log, Now } from '../seams.ts'
import type { Hints } from '../storage/hints.ts'
import { canonicalName, mirroredManifestKey } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { ManifestStore } from '../storage/manifests.ts'
import { Memory } from '../storage/memory.ts'
import type { RepositoryMarkers } from '../storage/repositories.ts'
import type { FetchedManifest, Manifest } from '../upstream/manifests.ts'
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
  readonly markers: RepositoryMarkers
  readonly hints: Hints
  readonly now: Now
  readonly defer: Defer
  readonly log: Log
}

/** Keeps the manifests of one repository. */
export class ManifestKeeper {
  readonly #given: ManifestKeeperGiven
  readonly #memory = new Memory<Manifest>(MEMORY)
  readonly #writes = new Map<Digest, Promise<boolean>>()
  /** The marker being written, or written by this object. */
  #marking: Promise<void> | undefined

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
    if (this.#isStored(manifest)) return true
    const running = this.#writes.get(digest)
    if (running !== undefined) return running
    const write = this.#write(manifest).finally(() => this.#writes.delete(digest))
    this.#writes.set(digest, write)
    return write
  }

  /** Tells KV of a stored manifest, once an hour. */
  hint(manifest: Manifest): void {
    const { records, hints, name, defer, now } = this.#given
    if (now() - (records.manifest(manifest.digest)?.hintedAt ?? 0) < HINT_TTL) return
    records.hintManifest(manifest.digest, now())
    defer(hints.putManifest(name, { ...manifest, verifiedAt: now() }))
  }

  /** Tells KV what a tag points at, when that has changed and once an hour. */
  hintTag(tag: Tag, manifest: Manifest, verifiedAt: number): void {
    const { records, hints, name, defer } = this.#given
    const record = records.tag(tag)
    const isCurrent =
      record?.hintedDigest === manifest.digest && verifiedAt - record.hintedAt < HINT_TTL
    if (isCurrent) return
    records.hintTag(tag, manifest.digest, verifiedAt)
    defer(hints.putTag(name, tag, { ...manifest, verifiedAt }))
    this.hint(manifest)
  }

  /** Whether it was stored and this object has seen its bytes there: a row alone may point at lost ones. */
  #isStored({ digest, mediaType }: Manifest): boolean {
    const { records, now } = this.#given
    const isHeld = this.#memory.get(digest, now()) !== undefined
    return isHeld && records.manifest(digest)?.mediaType === mediaType
  }

  async #write(manifest: FetchedManifest): Promise<boolean> {
    const { digest, mediaType, bytes } = manifest
    try {
      await storing(this.#store(manifest), WRITE_WITHIN)
      this.#given.records.putManifest(manifest)
      this.#hold({ digest, mediaType, bytes })
      return true
    } catch (error) {
      this.#logFailure('manifest-write-failed', digest, error)
      return false
    }
  }

  async #store({ digest, mediaType, bytes }: Manifest): Promise<void> {
    const { manifests, records, name } = this.#given
    if (records.isEmpty) await this.#mark()
    const key = mirroredManifestKey(name, digest)
    try {
      await manifests.put(key, digest, { bytes, mediaType })
    } catch (error) {
      // What another has just written under this key is this manifest, or it is damaged.
      if (!String(error).includes(TOO_MANY_WRITES)) throw error
      if ((await manifests.get(key, digest)) === undefined) throw error
    }
  }

  /** Writes the marker once, for however many first manifests come together. */
  #mark(): Promise<void> {
    const { markers, name } = this.#given
    this.#marking ??= storing(markers.mark('mirrored', canonicalName(name)), WRITE_WITHIN).catch(
      (error: unknown) => {
        this.#marking = undefined
        throw error
      },
    )
    return this.#marking
  }

  async #read(digest: Digest): Promise<Manifest | undefined> {
    const { manifests, name, now } = this.#given
    const held = this.#memory.get(digest, now())
    if (held !== undefined) return held
    try {
      const read = manifests.get(mirroredManifestKey(name, digest), digest)
      const stored = await storing(read, PATIENCE.lookup)
      return stored && this.#hold({ digest, ...stored })
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
