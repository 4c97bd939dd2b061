// Manifests of one repository that are near a request: what its isolate has served before, and what KV shows. Neither
// is told when something is purged, so both are believed only as far as the purges that are known go.

import type { Now } from '../seams.ts'
import type { ManifestHint } from '../storage/hints.ts'
import { canonicalName } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { Memory } from '../storage/memory.ts'
import type { ServedManifest } from './ledger.ts'

/** An isolate repeats what it knows of a tag for so long without asking anybody (milliseconds). */
const TAG_MEMORY = 60_000
/** So many of the latest purges are always known, unless a newer one stands for them. */
const ALWAYS_KNOWN = 100

/** How many purges there were, and the latest; each of a repository, by its canonical name, or of a host. */
export interface KnownPurges {
  readonly number: number
  readonly recent: readonly KnownPurge[]
}

/** One of them; `number`: how many there had been with it. */
export interface KnownPurge {
  readonly number: number
  readonly at: number
  readonly scope: string
}

/** Manifests that an isolate has served, and the number of purges that it knew of when it looked last. */
export interface ManifestMemory {
  readonly manifests: Memory<ServedManifest>
  purges: number | undefined
}

/** What is near: a manifest that was served before, or what KV has. */
export type NearManifest =
  | { readonly held: ServedManifest }
  | { readonly held: undefined; readonly hint: ManifestHint | undefined }

/** What looking for manifests needs. */
export interface NearManifestsGiven {
  readonly name: MirroredName
  readonly memory: ManifestMemory
  /** What was purged; a promise only where somebody has to be asked. Never rejects. */
  readonly purges: () => KnownPurges | undefined | Promise<KnownPurges | undefined>
  readonly now: Now
}

/** Looks for manifests and keeps them, for one request. */
export class NearManifests {
  readonly #given: NearManifestsGiven
  readonly #canonical: string
  #known: KnownPurges | undefined

  constructor(given: NearManifestsGiven) {
    this.#given = given
    this.#canonical = canonicalName(given.name)
  }

  /** The manifest of a reference (`:tag` or `@digest`) in memory, or else as `read` finds it in KV. */
  async look(
    reference: string,
    read: () => Promise<ManifestHint | undefined>,
  ): Promise<NearManifest> {
    const { memory, now, purges } = this.#given
    const key = this.#canonical + reference
    const asked = purges()
    let reading: Promise<ManifestHint | undefined> | undefined
    if (asked instanceof Promise) {
      // Where KV will have to be read, nobody waits for one after the other.
      if (memory.manifests.get(key, now()) === undefined) reading = read()
      this.#learn(await asked)
    } else {
      this.#learn(asked)
    }
    const held = memory.manifests.get(key, now())
    if (held !== undefined) return { held }
    const hint = await (reading ?? read())
    return { held, hint: hint !== undefined && this.#isPurged(hint) ? undefined : hint }
  }

  /** Keeps an answer for the isolate's next request, a tag for a minute at most; repeated, it is a hit. */
  hold(reference: string, answer: ServedManifest): ServedManifest {
    const { memory, now } = this.#given
    const { digest, bytes } = answer
    // What was found before a purge that others have seen meanwhile would stay for good.
    if (bytes === undefined || memory.purges !== this.#known?.number) return answer
    const repeated = answer.outcome === 'stale' ? answer : { ...answer, outcome: 'hit' as const }
    const size = bytes.byteLength
    const byDigest = { ...repeated, outcome: 'hit' as const, until: Infinity, warning: undefined }
    const digestKey = `${this.#canonical}@${digest}`
    memory.manifests.put(digestKey, byDigest, { size, until: Infinity })
    const key = this.#canonical + reference
    if (key === digestKey) return answer
    const until = Math.min(answer.until, now() + TAG_MEMORY)
    memory.manifests.put(key, repeated, { size, until })
    return answer
  }

  /** Forgets what was served before a purge that this isolate had not seen: of what it was, or all if that is not known. */
  #learn(purges: KnownPurges | undefined): void {
    const { memory } = this.#given
    const before = memory.purges
    this.#known = purges
    if (purges?.number === before) return
    memory.purges = purges?.number
    const scopes = purges && before !== undefined ? scopesSince(before, purges) : undefined
    if (scopes === undefined) return memory.manifests.clear()
    memory.manifests.deleteAll((key) => scopes.has(nameIn(key)) || scopes.has(hostIn(key)))
  }

  /** Whether KV was told before the last purge: it shows for a minute what has been deleted there. */
  #isPurged({ verifiedAt }: ManifestHint): boolean {
    const { host } = this.#given.name
    return (this.#known?.recent ?? []).some(
      ({ at, scope }) => verifiedAt <= at && (scope === this.#canonical || scope === host),
    )
  }
}

/** What was purged since there were so many purges; `undefined`: not all of that is known any more. */
function scopesSince(
  before: number,
  { number, recent }: KnownPurges,
): ReadonlySet<string> | undefined {
  const oldest = Math.min(...recent.map((each) => each.number))
  const isKnown = number - before < ALWAYS_KNOWN || oldest <= before + 1
  if (number < before || !isKnown) return undefined
  return new Set(recent.filter((each) => each.number > before).map(({ scope }) => scope))
}

/** The canonical name in a key: names have a colon in their host at most, and neither in what follows it. */
function nameIn(key: string): string {
  const slash = key.indexOf('/')
  return key.slice(0, slash + key.slice(slash).search(/[:@]/))
}

function hostIn(key: string): string {
  return key.slice(0, key.indexOf('/'))
}
