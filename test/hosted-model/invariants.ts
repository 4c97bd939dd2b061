// What must hold of the registry's state after every step, and what when everything has come to rest.

import type { Digest } from '../../src/oci/digest.ts'
import { hostedContentKey, hostedManifestKey, markerKey } from '../../src/storage/keys.ts'
import { BLOBS, IMAGES, digestNow } from './contents.ts'
import type { Facts } from './facts.ts'
import type { Registry } from './registry.ts'
import { allClaims, ledgers } from './state.ts'
import type { ClaimsState, LedgerState } from './state.ts'

const NAMES = new Map<string, string>(
  [...BLOBS, ...IMAGES].map(({ digest, name }) => [digest, name]),
)
const named = (digest: string) => NAMES.get(digest) ?? digest

/** Whatever is wrong now. */
export function broken(registry: Registry, facts: Facts): readonly string[] {
  const claims = new Map(allClaims(registry).map((each) => [each.digest, each]))
  return [
    ...registry.world.violations,
    ...ledgers(registry).flatMap((ledger) => [
      ...brokenBlobs(registry, ledger, claims),
      ...brokenManifests(registry, ledger),
      ...brokenChildren(ledger, facts, noteRows(ledger, facts)),
      ...brokenPromises(registry, ledger, facts),
    ]),
  ]
}

/** No lost byte, and none that is readable but not claimed. */
function brokenBlobs(
  { stored }: Registry,
  { repository, blobs, held, manifests }: LedgerState,
  claims: ReadonlyMap<string, ClaimsState>,
): readonly string[] {
  const problems = [...held].flatMap(([digest, id]) => {
    const what = `${repository}: blob ${named(digest)}`
    const bytes = stored.get(hostedContentKey(id))
    const claim = claims.get(digest)
    return [
      ...(bytes === undefined ? [`${what} has lost its bytes`] : []),
      ...(bytes !== undefined && !isOf(bytes, digest) ? [`${what} has wrong bytes`] : []),
      ...(claim?.holders.has(repository) === true ? [] : [`${what} is not claimed`]),
      ...(claim?.current === id ? [] : [`${what} is not where its claims say`]),
    ]
  })
  const isMarked = stored.has(markerKey('hosted', repository))
  const hasRows = blobs.length > 0 || manifests.length > 0
  return hasRows && !isMarked ? [...problems, `${repository}: rows without a marker`] : problems
}

/** Every manifest has its bytes, every tag its manifest. */
function brokenManifests({ stored }: Registry, ledger: LedgerState): readonly string[] {
  const { repository, manifests, tags } = ledger
  const known = new Set(manifests)
  return [
    ...manifests.flatMap((digest) => {
      const bytes = stored.get(hostedManifestKey(repository, digest as Digest))
      if (bytes !== undefined && isOf(bytes, digest)) return []
      return [`${repository}: manifest ${named(digest)} has lost its bytes`]
    }),
    ...[...tags].flatMap(([tag, digest]) =>
      known.has(digest) ? [] : [`${repository}: tag ${tag} points at nothing`],
    ),
  ]
}

/** Whatever a manifest names is there, unless somebody has deleted it since. */
function brokenChildren(
  ledger: LedgerState,
  facts: Facts,
  fresh: ReadonlySet<string>,
): readonly string[] {
  const { repository, held, manifests, children } = ledger
  const known = new Set(manifests)
  return children.flatMap(({ manifest, digest }) => {
    if (held.has(digest) || known.has(digest)) return []
    const since = facts.of(repository, manifest).putSince
    if (!fresh.has(manifest) && facts.of(repository, digest).mayLack(since)) return []
    return [`${repository}: ${named(manifest)} has lost ${named(digest)}`]
  })
}

/** The manifests whose rows are new since this was asked last: what they name is there now, without excuse. */
function noteRows({ repository, manifests }: LedgerState, facts: Facts): ReadonlySet<string> {
  const fresh = manifests.filter((digest) => !facts.of(repository, digest).hasStood)
  for (const { digest } of IMAGES) {
    facts.of(repository, digest).hasStood = manifests.includes(digest)
  }
  return new Set(fresh)
}

/** What clients were told is so. */
function brokenPromises(
  { world }: Registry,
  { repository, held, manifests, tags }: LedgerState,
  facts: Facts,
): readonly string[] {
  const there = new Map<string, string>([
    ...held,
    ...manifests.map((digest): [string, string] => [digest, digest]),
    ...tags,
  ])
  return [...facts.all].flatMap(([name, { until, isGone, value }]) => {
    const [of, thing = ''] = name.split(' ')
    if (of !== repository) return []
    const what = `${repository}: ${named(thing)}`
    const isThere = there.has(thing)
    if (isGone && isThere) return [`${what} is there although it was deleted`]
    if (until > world.now && !isThere) return [`${what} is gone although it was promised`]
    const isOther = value !== undefined && there.get(thing) !== value
    return isOther ? [`${what} is not what was put last`] : []
  })
}

/** Whatever is left over when everything has come to rest: of that nobody will ever get rid. */
export function leftOver(registry: Registry): readonly string[] {
  const { world, stored } = registry
  const states = ledgers(registry)
  const claims = allClaims(registry)
  return [
    ...leftInStorage(stored, states),
    ...states.flatMap((ledger) => leftInLedger(ledger)),
    ...claims.flatMap((each) => leftInClaims(each, states)),
    ...[...world.disks].flatMap(([name, disk]) => [
      ...(disk.alarm === null ? [] : [`${name} still has an alarm`]),
      ...(name.startsWith('upload ') && !disk.isEmpty ? [`${name} still has rows`] : []),
    ]),
  ]
}

function leftInStorage(
  stored: ReadonlyMap<string, Uint8Array>,
  states: readonly LedgerState[],
): readonly string[] {
  const wanted = new Set<string>(
    states.flatMap(({ repository, held, manifests }) => [
      ...[...held.values()].map(hostedContentKey),
      ...manifests.map((digest) => hostedManifestKey(repository, digest as Digest)),
      ...(held.size + manifests.length > 0 ? [markerKey('hosted', repository)] : []),
    ]),
  )
  return [...stored.keys()].filter((key) => !wanted.has(key)).map((key) => `immortal ${key}`)
}

function leftInLedger({ repository, blobs, outbox, children }: LedgerState): readonly string[] {
  const isNamed = new Set(children.map(({ digest }) => digest))
  return [
    ...outbox.map((digest) => `${repository}: ${named(digest)} stays in the outbox`),
    ...blobs.flatMap(({ digest, content }) => {
      if (content === undefined) return [`${repository}: ${named(digest)} is claimed for ever`]
      return isNamed.has(digest) ? [] : [`${repository}: nobody wants ${named(digest)}`]
    }),
  ]
}

function leftInClaims(
  { digest, contents, claims, holders, current }: ClaimsState,
  states: readonly LedgerState[],
): readonly string[] {
  const held = new Set<string>(
    states.flatMap(({ repository, held: blobs }) => (blobs.has(digest) ? [repository] : [])),
  )
  const what = `claims of ${named(digest)}`
  return [
    ...contents.flatMap(({ id, state }) =>
      state === 'current' ? [] : [`${what}: ${id} stays ${state}`],
    ),
    ...(current !== undefined && holders.size === 0 ? [`${what}: nobody claims the bytes`] : []),
    ...claims.flatMap(({ repository, isHeld }) => {
      if (!isHeld) return [`${what}: the counter of ${repository} stays`]
      return held.has(repository) ? [] : [`${what}: ${repository} claims what it does not hold`]
    }),
  ]
}

const DIGESTS = new WeakMap<Uint8Array, string>()

function isOf(bytes: Uint8Array, digest: string): boolean {
  const known = DIGESTS.get(bytes) ?? digestNow(bytes)
  DIGESTS.set(bytes, known)
  return known === digest
}
