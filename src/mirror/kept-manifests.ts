// Manifests as they are kept here, for requests that must not have the upstream asked: the tag as the ledger has
// it, the bytes from KV or R2. While the ledger is away, what KV knows of a tag stands in.

import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { Seams } from '../seams.ts'
import type { ManifestHint } from '../storage/hints.ts'
import { canonicalName, mirroredManifestKey } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { ManifestStore } from '../storage/manifests.ts'
import { judge, mayServeStale } from './freshness.ts'
import type { FreshnessRules } from './freshness.ts'
import { parseFailure } from './last-failure.ts'
import type { ManifestAnswer, ServedManifest } from './ledger.ts'
import { storing } from './output.ts'
import { PATIENCE } from './patience.ts'
import type { TagRecord } from './records.ts'

/** A tag that was not checked is repeated for so long: the next one may be (milliseconds). */
const UNCHECKED_MEMORY = 10_000

type KnownTag = Pick<TagRecord, 'digest' | 'verifiedAt' | 'triedAt' | 'isGuess' | 'failure'>

/** What reading what is kept needs. */
export interface KeptManifestsGiven {
  readonly name: MirroredName
  readonly manifests: ManifestStore
  /** What the ledger knows of a tag. @throws when it is away. */
  readonly tag: (tag: Tag) => Promise<TagRecord | undefined>
  readonly seams: Pick<Seams, 'now' | 'log'>
}

/** Reads what is kept of one repository. */
export class KeptManifests {
  readonly #given: KeptManifestsGiven

  constructor(given: KeptManifestsGiven) {
    this.#given = given
  }

  /** The manifest that a tag was last seen to point at, however long ago; `undefined`: it is not here. */
  async tag(
    tag: Tag,
    hint: ManifestHint | undefined,
    rules: FreshnessRules,
  ): Promise<ManifestAnswer | undefined> {
    const known = await this.#known(tag, hint)
    if (known === undefined) return undefined
    const manifest = known.digest === hint?.digest ? hint : await this.digest(known.digest)
    if (manifest === undefined) return undefined
    const { digest, mediaType, bytes } = manifest
    return this.#judged({ ok: true, digest, mediaType, bytes }, known, rules)
  }

  /** The manifest of a digest, if R2 has it. Never rejects. */
  async digest(digest: Digest): Promise<ServedManifest | undefined> {
    const { manifests, name, seams } = this.#given
    try {
      const read = manifests.get(mirroredManifestKey(name, digest), digest)
      const stored = await storing(read, PATIENCE.lookup)
      const base = {
        outcome: 'hit',
        verifiedAt: seams.now(),
        until: Infinity,
        warning: undefined,
      } as const
      return stored && { ok: true, digest, ...stored, ...base }
    } catch (error) {
      this.#logAway(error)
      return undefined
    }
  }

  async #known(tag: Tag, hint: ManifestHint | undefined): Promise<KnownTag | undefined> {
    try {
      return await this.#given.tag(tag)
    } catch (error) {
      this.#logAway(error)
      return hint && { ...hint, triedAt: 0, isGuess: false, failure: null }
    }
  }

  #judged(
    manifest: Pick<ServedManifest, 'ok' | 'digest' | 'mediaType' | 'bytes'>,
    known: KnownTag,
    rules: FreshnessRules,
  ): ManifestAnswer {
    const now = this.#given.seams.now()
    const { isGuess, verifiedAt } = known
    const served = { ...manifest, verifiedAt }
    if (!isGuess && judge(known, rules, now) === 'fresh') {
      return { ...served, outcome: 'hit', until: verifiedAt + rules.ttl, warning: undefined }
    }
    // A refusal stays one until the upstream says otherwise: who switches this off opens nothing.
    const failure = parseFailure(known.failure)
    const isRefusal = failure.kind === 'denied' || failure.kind === 'unauthorized'
    if (isRefusal && !mayServeStale(failure, verifiedAt, rules, now)) return { ok: false, failure }
    const warning = `${this.#given.name.host} was not asked for this tag: an administrator has switched that off`
    return { ...served, outcome: 'stale', until: now + UNCHECKED_MEMORY, warning }
  }

  #logAway(error: unknown): void {
    const { name, seams } = this.#given
    seams.log('ledger-away', { repository: canonicalName(name), reason: String(error) })
  }
}
