// The pieces of work of a purge. Each returns what writes its outcome down, so that a purge that is cut off repeats at
// most one of them.

import type { Pin } from '../auth/pins.ts'
import type { ForgetOrder, StoredImage } from '../mirror/inventory.ts'
import type { Reference } from '../oci/reference.ts'
import {
  canonicalName,
  mirrorPrefix,
  mirroredManifestPrefix,
  parseCanonicalName,
  parseMirroredKey,
  privateBlobPrefix,
} from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { RepositoryMarkers } from '../storage/repositories.ts'
import { blobKeys } from './collect-book.ts'
import { listPage } from './collect-turn.ts'
import { formatImageName, splitName } from './image-name.ts'
import { DIGESTS_AT_ONCE, IMAGES_AT_ONCE } from './mirrored.ts'
import type { IsPrivate, LedgerOf } from './mirrored.ts'
import { scopeOf } from './purge-order.ts'
import type { PurgeTarget } from './purge-order.ts'
import { FROM_START } from './purge-run.ts'
import type { PurgeBook, PurgeRun, PurgeStage } from './purge-run.ts'
import type { StepContext } from './task.ts'

/** Repositories of one page, and blobs and pins that are looked at and removed at once. */
const NAMES = 100
const AT_ONCE = 40
const PINS = 30

/** What a purge is given. */
export interface PurgeGiven {
  readonly bucket: R2Bucket
  readonly markers: Pick<RepositoryMarkers, 'list'>
  readonly ledgerOf: LedgerOf
  readonly isPrivate: IsPrivate
  readonly authority: () => {
    pins(): Promise<readonly Pin[]>
    unpin(image: string, by: string): Promise<boolean>
    purged(scope: string): Promise<number>
  }
}

/** One step, and how many operations it has taken. */
export interface PurgeTurn {
  readonly target: PurgeTarget
  readonly book: PurgeBook
  readonly context: StepContext
  operations: number
  /** Which ledger is not done and did not come further either: it is asked again a little later. */
  waitsFor: string | undefined
  /** What has failed after rows were gone: it is tried again for as long as it takes. */
  failure: string | undefined
}

/** Writes what a piece of work has found or done, without awaiting anything; how far the purge is then. */
type Commit = () => PurgeRun

type Work = (run: PurgeRun, turn: PurgeTurn, given: PurgeGiven) => Promise<Commit>

/** Finds the blobs of what goes, and what pins may name it. A host goes as a whole. */
const gather: Work = async (run, turn, { ledgerOf }) => {
  const { target, book } = turn
  if (target.scope === 'host') return () => begin(run, 'unpin')
  const ledger = ledgerOf(target.name)
  turn.operations += 1
  if (run.of === 'reads') {
    const { items, next } = await ledger.blobReads(run.digest, DIGESTS_AT_ONCE)
    return () => {
      book.add(items.map(({ digest }) => digest))
      return next === undefined ? begin(run, 'unpin') : { ...run, digest: next }
    }
  }
  const { images, next } = await ledger.images(run.digest, IMAGES_AT_ONCE)
  return () => {
    const found = images.filter((image) => isMeant(image, target))
    for (const { blobs } of found) book.add(blobs.map(({ digest }) => digest))
    const pins = [...run.pins, ...found.flatMap((image) => pinsOf(image, target))]
    if (next !== undefined) return { ...run, pins, digest: next }
    // What was read by digest alone belongs to a repository, and to no image.
    if (target.scope === 'repository') return { ...run, pins, of: 'reads', digest: undefined }
    return begin({ ...run, pins }, 'unpin')
  }
}

/** Before anything goes: what is pinned would be fetched again. */
const unpin: Work = async (run, turn, { authority, ledgerOf }) => {
  const { target } = turn
  turn.operations += 1
  // A pin may name what its ledger does not know, or does not know yet.
  const named = new Set([...run.pins, ...ownPins(target)])
  const pins = (await authority().pins()).filter(({ image }) =>
    target.scope === 'image' ? named.has(image) : isBelow(image, target),
  )
  for (const { image } of pins.slice(0, PINS)) {
    const { written, reference } = splitName(image)
    const name = parseCanonicalName(written)
    turn.operations += 2
    if (name !== undefined && reference !== undefined && reference !== 'invalid') {
      await ledgerOf(name).pin(reference, false)
    }
    await authority().unpin(image, turn.context.by)
  }
  return () => (pins.length > PINS ? run : begin(run, 'forget'))
}

/** Has ledgers forget. Nobody else knows then which blobs those were. */
const forget: Work = async (run, turn, { ledgerOf, markers }) => {
  const { target } = turn
  const [canonical] = target.scope === 'host' ? run.names : [canonicalName(target.name)]
  if (canonical === undefined) return nextNames(run, turn, { markers, next: 'announce' })
  const name = parseCanonicalName(canonical)
  if (name === undefined) return () => ({ ...run, names: run.names.slice(1) })
  turn.operations += 1
  const ledger = ledgerOf(name)
  const { forgotten, blobs, isDone } =
    target.scope === 'image'
      ? await ledger.forget(orderOf(target.reference))
      : await ledger.forgetAll()
  if (!isDone && forgotten.length + blobs.length === 0) turn.waitsFor = canonical
  return () => {
    for (const digest of forgotten) {
      turn.context.report({ subject: canonical, digest, outcome: 'removed', note: 'manifest' })
    }
    // A ledger that was written by an older release may not have told of them before.
    if (target.scope !== 'host') turn.book.add(blobs)
    const after = { ...run, manifests: run.manifests + forgotten.length }
    if (!isDone) return after
    return target.scope === 'host'
      ? { ...after, names: run.names.slice(1) }
      : begin(after, 'announce')
  }
}

/** Has every isolate forget: what comes after it may take long, and be ended by somebody. */
const announce: Work = async (run, turn, given) => {
  await announcePurge(turn, given)
  return () => begin(run, turn.target.scope === 'host' ? 'sweep' : 'check')
}

/** Spares the blobs that some image needs that stays: of this repository, or of another with which it shares them. */
const check: Work = async (run, turn, { ledgerOf, isPrivate, markers }) => {
  const { target, book } = turn
  const [canonical] = run.names
  if (canonical === undefined) return nextNames(run, turn, { markers, next: 'blobs' })
  const name = parseCanonicalName(canonical)
  const isSharing =
    name !== undefined && target.scope !== 'host' && sharesBlobs(name, target.name, isPrivate)
  const digests = isSharing ? book.blobs(run.digest, DIGESTS_AT_ONCE) : []
  const last = digests.at(-1)
  if (name === undefined || last === undefined) {
    return () => ({ ...run, names: run.names.slice(1), digest: undefined })
  }
  turn.operations += 1
  const named = await ledgerOf(name).named(digests)
  return () => {
    book.remove(named)
    return { ...run, digest: last }
  }
}

/** Removes the blobs that nobody needs. */
const blobs: Work = async (run, turn, { bucket, isPrivate }) => {
  const { target, book, context } = turn
  if (target.scope === 'host') return () => begin(run, 'sweep')
  const { name } = target
  const digests = book.blobs(undefined, AT_ONCE)
  if (digests.length === 0) return () => begin(run, 'sweep')
  const keys = digests.flatMap((digest) => blobKeys(name, isPrivate(name), digest))
  turn.operations += keys.length + 1
  const heads = await Promise.all(keys.map((key) => bucket.head(key)))
  const found = heads.filter((head) => head !== null)
  if (found.length > 0) await bucket.delete(found.map(({ key }) => key))
  return () => {
    for (const { key, size } of found) {
      const digest = parseMirroredKey(key)?.digest
      const subject = canonicalName(name)
      context.report({
        subject,
        outcome: 'removed',
        bytes: size,
        note: 'blob',
        ...(digest && { digest }),
      })
    }
    book.remove(digests)
    return counted(run, { blobs: found.length, bytes: sizeOf(found) })
  }
}

/** Removes whatever else lies there: bytes that no ledger knew of. */
const sweep: Work = async (run, turn, { bucket }) => {
  const { target } = turn
  if (target.scope === 'image') return () => begin(run, 'tell')
  const [prefix, ...more] = run.names.length > 0 ? run.names : prefixesOf(target)
  turn.operations += 1
  const page = await listPage(bucket, { prefix: prefix ?? '', after: run.after }, turn)
  const going = page.objects.filter(({ key }) => isOf(key, target))
  if (going.length > 0) await bucket.delete(going.map(({ key }) => key))
  const last = page.objects.at(-1)?.key
  return () => {
    const isBlob = going.filter(({ key }) => parseMirroredKey(key)?.kind === 'blob').length
    const after = counted(run, { blobs: isBlob, bytes: sizeOf(going) })
    if (page.truncated && last !== undefined) {
      return { ...after, names: [prefix ?? '', ...more], after: last }
    }
    return more.length > 0 ? { ...after, names: more, after: undefined } : begin(after, 'tell')
  }
}

/** Has every isolate forget once more: what was still anywhere may have been remembered again. */
const tell: Work = async (run, turn, given) => {
  await announcePurge(turn, given)
  return () => begin(run, 'done')
}

async function announcePurge(turn: PurgeTurn, { authority }: PurgeGiven): Promise<void> {
  turn.operations += 1
  await authority().purged(scopeOf(turn.target))
}

/** By stage. */
export const PURGE_WORK: Readonly<Record<Exclude<PurgeStage, 'done'>, Work>> = {
  gather,
  unpin,
  forget,
  announce,
  check,
  blobs,
  sweep,
  tell,
}

function begin(run: PurgeRun, stage: PurgeStage): PurgeRun {
  return { ...run, ...FROM_START, stage }
}

/** Reads the next repositories of the host, or goes on to the next stage. */
async function nextNames(
  run: PurgeRun,
  turn: PurgeTurn,
  { markers, next }: Pick<PurgeGiven, 'markers'> & { readonly next: PurgeStage },
): Promise<Commit> {
  const { target } = turn
  const prefix = `${target.scope === 'host' ? target.host : target.name.host}/`
  turn.operations += 1
  const page = await markers.list(['mirrored'], { after: run.after ?? prefix, limit: NAMES })
  const names = page.markers
    .map(({ canonical }) => canonical)
    .filter((canonical) => canonical.startsWith(prefix))
  const after = names.at(-1)
  return () => (after === undefined ? begin(run, next) : { ...run, names, after })
}

function isMeant({ tags, manifests }: StoredImage, target: PurgeTarget): boolean {
  if (target.scope !== 'image') return true
  const { reference } = target
  return reference.kind === 'tag'
    ? tags.includes(reference.tag)
    : manifests.includes(reference.digest)
}

/** By which other names pins may mean what goes of an image. */
function pinsOf({ digest, tags }: StoredImage, target: PurgeTarget): readonly string[] {
  if (target.scope !== 'image') return []
  const { name, reference } = target
  const isWhole = reference.kind === 'tag' ? tags.length === 1 : reference.digest === digest
  if (!isWhole) return []
  const names = tags.map((tag) => formatImageName({ name, reference: { kind: 'tag', tag } }))
  return [...names, formatImageName({ name, reference: { kind: 'digest', digest } })]
}

/** The name by which a pin means what was ordered to go, whatever is stored of it. */
function ownPins(target: PurgeTarget): readonly string[] {
  if (target.scope !== 'image') return []
  const { name, reference } = target
  return [formatImageName({ name, reference })]
}

function isBelow(image: string, target: PurgeTarget): boolean {
  if (target.scope === 'host') return image.startsWith(`${target.host}/`)
  return splitName(image).written === canonicalName(target.name)
}

/** Whether two repositories of a host may have the same blobs under one key. */
function sharesBlobs(a: MirroredName, b: MirroredName, isPrivate: IsPrivate): boolean {
  if (a.repository === b.repository) return true
  return isPrivate(a) !== true && isPrivate(b) !== true
}

function prefixesOf(target: PurgeTarget): readonly string[] {
  if (target.scope === 'host') return [mirrorPrefix(target.host)]
  return [mirroredManifestPrefix(target.name), privateBlobPrefix(target.name)]
}

/** Below the prefix of one repository lie those of others. */
function isOf(key: string, target: PurgeTarget): boolean {
  return target.scope === 'host' || parseMirroredKey(key)?.repository === target.name.repository
}

function counted(
  run: PurgeRun,
  more: { readonly blobs: number; readonly bytes: number },
): PurgeRun {
  return { ...run, blobs: run.blobs + more.blobs, bytes: run.bytes + more.bytes }
}

function sizeOf(objects: readonly { readonly size: number }[]): number {
  return objects.reduce((sum, { size }) => sum + size, 0)
}

function orderOf(reference: Reference): ForgetOrder {
  return reference.kind === 'tag'
    ? { tags: [reference.tag], digests: [] }
    : { tags: [], digests: [reference.digest] }
}
