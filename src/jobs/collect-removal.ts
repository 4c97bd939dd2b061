// How a collection makes room: it chooses what goes, image by image, asks every repository whether it needs a blob of
// that after all, and removes the rest.

import type { Digest } from '../oci/digest.ts'
import {
  canonicalName,
  mirroredManifestKey,
  parseCanonicalName,
  parseMirroredKey,
} from '../storage/keys.ts'
import type { Amount, DoomedObject, IdleImage } from './collect-book.ts'
import { FIRST } from './collect-run.ts'
import type { CollectRun, CollectState } from './collect-run.ts'
import { nextName, nextNames, tell } from './collect-turn.ts'
import type { CollectGiven, Commit, Turn, Work } from './collect-turn.ts'
import { DIGESTS_AT_ONCE } from './mirrored.ts'

/** Objects that are chosen before somebody looks who needs them, and objects that are removed at once. */
const ROUND = 1000
const AT_ONCE = 40

/** Chooses what goes, until that is enough or as much as can be dealt with at once. */
export const choose: Work = async (run, turn, given) => {
  const { book, state } = turn
  const low = state.target?.low ?? Infinity
  let { bytes, objects } = book.doomed()
  while (run.bytes - bytes > low && objects < ROUND) {
    const next = book.next(run.mark)
    if (next === undefined) break
    if (next.kind === 'image') return dropImage(next, run, turn, given)
    book.doom(next)
    bytes += next.size
    objects += 1
  }
  if (objects > 0) {
    return () => ({ ...run, ...FIRST, stage: state.isDryRun ? 'remove' : 'check' })
  }
  if (!state.isDryRun && run.removed.bytes > 0) await tell(given, run, turn)
  return () => ({ ...run, stage: 'done' })
}

/** Has an image forgotten, unless it was read or pinned meanwhile. Its blobs wait for whoever else needs them. */
async function dropImage(
  image: IdleImage,
  run: CollectRun,
  turn: Turn,
  given: CollectGiven,
): Promise<Commit> {
  const { book, context, state } = turn
  const own = book.ownManifests(image)
  if (!own.includes(image.digest)) {
    return () => {
      book.drop(image, [], run.mark)
      return run
    }
  }
  const forgotten = state.isDryRun ? own : await forget(image, own, { mark: run.mark, turn, given })
  return () => {
    const { name, digest } = image
    const line = { subject: subjectOf(image), digest }
    if (!forgotten.includes(digest)) {
      book.keep(image)
      context.report({ ...line, outcome: 'kept', note: 'read or pinned meanwhile' })
      return run
    }
    const { gone, doomed } = book.drop(image, forgotten, run.mark)
    context.report({ ...line, outcome: outcomeOf(state), bytes: gone.bytes + doomed.bytes })
    const { images, manifests } = run.removed
    const removed = { ...run.removed, images: images + 1, manifests: manifests + gone.objects }
    return without({ ...run, removed }, name.host, gone)
  }
}

/** Which of an image's manifests its ledger has forgotten, now or before the object died that has asked it first. */
async function forget(
  image: IdleImage,
  own: readonly Digest[],
  {
    mark,
    turn,
    given,
  }: { readonly mark: number; readonly turn: Turn; readonly given: CollectGiven },
): Promise<readonly Digest[]> {
  const { bucket, ledgerOf } = given
  turn.operations += 1
  turn.book.start(image)
  const order = { tags: [], digests: own, unlessReadSince: mark }
  const { forgotten } = await ledgerOf(image.name).forget(order)
  if (!image.isGoing) return forgotten
  turn.operations += own.length
  const keys = own.map((digest) => mirroredManifestKey(image.name, digest))
  const heads = await Promise.all(keys.map((key) => bucket.head(key)))
  return own.filter((_, index) => heads[index] === null)
}

/** Spares what some repository has come to name since it told of its images, or what was read there since the mark. */
export const check: Work = async (run, turn, { markers, ledgerOf, isPrivate }) => {
  const { book } = turn
  const [canonical] = run.names
  if (canonical === undefined) return nextNames(run, { markers, turn, next: 'remove' })
  const name = parseCanonicalName(canonical)
  const doomed = name && book.doomedOf(name, isPrivate(name))
  if (name === undefined || doomed === undefined || doomed.size === 0) return () => nextName(run)
  const { of, after } = run.within
  turn.operations += 1
  if (of === 'images') {
    const digests = [...doomed.keys()]
      .toSorted()
      .filter((digest) => after === undefined || digest > after)
    const some = digests.slice(0, DIGESTS_AT_ONCE)
    const named = await ledgerOf(name).named(some)
    const last = some.length < digests.length ? some.at(-1) : undefined
    return () => {
      for (const digest of named) for (const key of doomed.get(digest) ?? []) book.spare(key)
      return { ...run, within: { of: last === undefined ? 'reads' : of, after: last } }
    }
  }
  const { items, next } = await ledgerOf(name).blobReads(after, DIGESTS_AT_ONCE)
  return () => {
    for (const { digest, at } of items) {
      if (at >= run.mark) for (const key of doomed.get(digest) ?? []) book.spare(key)
    }
    return next === undefined ? nextName(run) : { ...run, within: { of, after: next } }
  }
}

/** Removes what is doomed and was not stored anew meanwhile; then it is seen whether that was enough. */
export const remove: Work = async (run, turn, { bucket }) => {
  const { book, state } = turn
  const some = book.someDoomed(state.isDryRun ? ROUND : AT_ONCE)
  if (some.length === 0) return () => ({ ...run, ...FIRST, stage: 'choose' })
  const fresh = state.isDryRun ? new Set<string>() : await freshOf(some, run.mark, turn, bucket)
  const going = some.filter(({ key }) => !fresh.has(key))
  if (going.length > 0 && !state.isDryRun) {
    turn.operations += 1
    await bucket.delete(going.map(({ key }) => key))
  }
  return () => {
    for (const key of fresh) book.spare(key)
    return going.reduce((before, object) => noteRemoved(before, object, turn), run)
  }
}

function noteRemoved(run: CollectRun, object: DoomedObject, turn: Turn): CollectRun {
  const { book, context, state } = turn
  const { key, size, isLoose } = object
  book.remove(key)
  const parsed = parseMirroredKey(key)
  if (parsed === undefined) return run
  const { kind, host, digest, repository } = parsed
  if (isLoose) {
    const subject = repository === undefined ? host : canonicalName({ host, repository })
    context.report({ subject, digest, outcome: outcomeOf(state), bytes: size, note: kind })
  }
  const { blobs, manifests } = run.removed
  const counts = kind === 'blob' ? { blobs: blobs + 1 } : { manifests: manifests + 1 }
  const removed = { ...run.removed, ...counts }
  return without({ ...run, removed }, host, { objects: 1, bytes: size })
}

/** Which were stored since the mark. */
async function freshOf(
  some: readonly { readonly key: string }[],
  mark: number,
  turn: Turn,
  bucket: R2Bucket,
): Promise<ReadonlySet<string>> {
  turn.operations += some.length
  const heads = await Promise.all(some.map(({ key }) => bucket.head(key)))
  const fresh = heads.filter((head) => head !== null && head.uploaded.getTime() >= mark)
  return new Set(fresh.map((head) => head?.key ?? ''))
}

/** The run with so much less below one host. */
function without(run: CollectRun, host: string, gone: Amount): CollectRun {
  const { bytes = 0, objects = 0 } = run.hosts[host] ?? {}
  const left = { bytes: bytes - gone.bytes, objects: objects - gone.objects }
  const removed = { ...run.removed, bytes: run.removed.bytes + gone.bytes }
  return { ...run, removed, bytes: run.bytes - gone.bytes, hosts: { ...run.hosts, [host]: left } }
}

function subjectOf({ name, digest, tags: [tag] }: IdleImage): string {
  return canonicalName(name) + (tag === undefined ? `@${digest}` : `:${tag}`)
}

function outcomeOf({ isDryRun }: CollectState): string {
  return isDryRun ? 'removable' : 'removed'
}
