// Manifests in KV: hints that make a warm pull one read, never the truth. A value may be a minute old or
// missing, so a failing or silent KV is the same as an empty one, and bytes are hashed before they are
// believed.

import { algorithmOf, digestOf, parseDigest } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { Log } from '../seams.ts'
import { inTime } from './in-time.ts'
import { manifestHintKey, tagHintKey } from './keys.ts'
import type { MirroredName } from './keys.ts'

/** Hints are rewritten by use; what nobody asks for leaves KV after a month (seconds). */
const EXPIRATION = 30 * 24 * 60 * 60
/** A client waits for a read, and the ledger and the upstream are still to be asked (milliseconds). */
const READ_WITHIN = 2000
/** Nobody waits for a write, but it keeps an object or a request alive (milliseconds). */
const WRITE_WITHIN = 10_000
const LATE = 'KV does not answer'

/** A manifest as KV knows it; for a tag, `verifiedAt` is when the upstream last confirmed it (milliseconds). */
export interface ManifestHint {
  readonly digest: Digest
  readonly mediaType: string
  readonly verifiedAt: number
  readonly bytes: Uint8Array
}

type Metadata = Omit<ManifestHint, 'bytes'>

/** Reads and writes hints. Reads never fail, and a failed write is only logged. */
export class Hints {
  readonly #kv: KVNamespace
  readonly #log: Log

  constructor(kv: KVNamespace, log: Log) {
    this.#kv = kv
    this.#log = log
  }

  /** What the tag was last known to point at. One KV read. */
  async getTag(name: MirroredName, tag: Tag): Promise<ManifestHint | undefined> {
    return this.#get(await tagHintKey(name, tag))
  }

  /** The manifest of that digest. One KV read. */
  async getManifest(name: MirroredName, digest: Digest): Promise<ManifestHint | undefined> {
    const hint = await this.#get(await manifestHintKey(name, digest))
    return hint?.digest === digest ? hint : undefined
  }

  /** Writes what a tag points at. */
  async putTag(name: MirroredName, tag: Tag, hint: ManifestHint): Promise<void> {
    await this.#put(await tagHintKey(name, tag), hint)
  }

  /** Writes a manifest. */
  async putManifest(name: MirroredName, hint: ManifestHint): Promise<void> {
    await this.#put(await manifestHintKey(name, hint.digest), hint)
  }

  /** Forgets a tag. Whether KV took it. */
  async deleteTag(name: MirroredName, tag: Tag): Promise<boolean> {
    return this.#delete(await tagHintKey(name, tag))
  }

  /** Forgets a manifest. Whether KV took it. */
  async deleteManifest(name: MirroredName, digest: Digest): Promise<boolean> {
    return this.#delete(await manifestHintKey(name, digest))
  }

  async #delete(key: string): Promise<boolean> {
    try {
      await inTime(this.#kv.delete(key), WRITE_WITHIN, LATE)
      return true
    } catch (error) {
      this.#log('hint-delete-failed', { reason: String(error) })
      return false
    }
  }

  async #get(key: string): Promise<ManifestHint | undefined> {
    try {
      const read = this.#kv.getWithMetadata(key, 'arrayBuffer')
      const { value, metadata } = await inTime(read, READ_WITHIN, LATE)
      const known = parseMetadata(metadata)
      if (value === null || known === undefined) return undefined
      const bytes = new Uint8Array(value)
      const { digest } = known
      return (await digestOf(bytes, algorithmOf(digest))) === digest
        ? { ...known, bytes }
        : undefined
    } catch (error) {
      this.#log('hint-read-failed', { reason: String(error) })
      return undefined
    }
  }

  async #put(key: string, hint: ManifestHint): Promise<void> {
    const { digest, mediaType, verifiedAt } = hint
    try {
      const write = this.#kv.put(key, hint.bytes, {
        expirationTtl: EXPIRATION,
        metadata: { digest, mediaType, verifiedAt } satisfies Metadata,
      })
      await inTime(write, WRITE_WITHIN, LATE)
    } catch (error) {
      this.#log('hint-write-failed', { reason: String(error) })
    }
  }
}

function parseMetadata(value: unknown): Metadata | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { digest: text, mediaType, verifiedAt } = value as Readonly<Record<string, unknown>>
  const digest = typeof text === 'string' ? parseDigest(text) : undefined
  if (digest === undefined || typeof mediaType !== 'string' || typeof verifiedAt !== 'number') {
    return undefined
  }
  return { digest, mediaType, verifiedAt }
}
