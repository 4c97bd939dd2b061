// How a collection looks at what there is: leftover segments, sizes, objects, and the images of every repository.

import { FILLS_PREFIX, MIRROR_PREFIX, canonicalName, parseCanonicalName } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import { blobKeys } from './collect-book.ts'
import type { CollectRun } from './collect-run.ts'
import { followed, listPage, nextName, nextNames, tell } from './collect-turn.ts'
import type { CollectGiven, Commit, Turn, Work } from './collect-turn.ts'
import { DIGESTS_AT_ONCE, IMAGES_AT_ONCE } from './mirrored.ts'

/** Segments of a fill that began so long ago are nobody's (milliseconds). */
const LEFT_OVER = 24 * 60 * 60 * 1000

/** A ledger that has failed so often, one time after the other, is passed over. */
const MAX_FAILURES = 5

const DONE = { stage: 'done' } as const

/** Removes what crashes have left, where no lifecycle rule does. */
export const removeFills: Work = async (run, turn, { bucket, now }) => {
  const page = await listPage(bucket, { prefix: FILLS_PREFIX, after: run.after }, turn)
  const before = now() - LEFT_OVER
  const old = page.objects.filter(({ uploaded }) => uploaded.getTime() < before)
  if (old.length > 0 && !turn.state.isDryRun) {
    turn.operations += 1
    await bucket.delete(old.map(({ key }) => key))
  }
  const removed = { ...run.removed, fills: run.removed.fills + old.length }
  return () => ({ ...run, removed, ...followed(page, 'fills', 'sizes') })
}

/** Adds up what there is. It is enough where nothing has to go. */
export const addSizes: Work = async (run, turn, given) => {
  const page = await listPage(given.bucket, { prefix: MIRROR_PREFIX, after: run.after }, turn)
  const hosts = { ...run.hosts }
  for (const { key, size } of page.objects) {
    const host = hostOf(key)
    const { bytes = 0, objects = 0 } = hosts[host] ?? {}
    hosts[host] = { bytes: bytes + size, objects: objects + 1 }
  }
  const bytes = Object.values(hosts).reduce((sum, host) => sum + host.bytes, 0)
  const objects = run.objects + page.objects.length
  const next = { ...run, hosts, bytes, before: bytes, objects }
  const followedBy = followed(page, 'sizes', 'objects')
  if (followedBy.stage === 'sizes') return () => ({ ...next, ...followedBy })
  await tell(given, next, turn)
  const { target } = turn.state
  const isEnough = target === undefined || bytes <= target.target
  return () => ({ ...next, objects: isEnough ? objects : 0, ...followedBy, ...(isEnough && DONE) })
}

/** Notes every object. */
export const noteObjects: Work = async (run, turn, given) => {
  const page = await listPage(given.bucket, { prefix: MIRROR_PREFIX, after: run.after }, turn)
  return () => {
    for (const { key, size, uploaded } of page.objects) {
      turn.book.addObject({ key, size, uploaded: uploaded.getTime() }, rankOf(hostOf(key), given))
    }
    const objects = run.objects + page.objects.length
    return { ...run, objects, ...followed(page, 'objects', 'images') }
  }
}

/** Asks one repository after the other for its images, and for the blobs that were read there. */
export const noteImages: Work = async (run, turn, given) => {
  const [canonical] = run.names
  if (canonical === undefined) {
    return nextNames(run, { markers: given.markers, turn, next: 'choose' })
  }
  const name = parseCanonicalName(canonical)
  if (name === undefined) return () => nextName(run)
  try {
    return await imagesOf(name, run, turn, given)
  } catch (error) {
    return failedImages(name, run, { turn, given, why: reasonOf(error) })
  }
}

/** A page of what a repository tells of its images, and then of its reads. */
async function imagesOf(
  name: MirroredName,
  run: CollectRun,
  turn: Turn,
  given: CollectGiven,
): Promise<Commit> {
  const { ledgerOf, isPrivate } = given
  const { of, after } = run.within
  turn.operations += 1
  if (of === 'images') {
    const { images, next } = await ledgerOf(name).images(after, IMAGES_AT_ONCE)
    const terms = { rank: rankOf(name.host, given), isPrivate: isPrivate(name) }
    return () => {
      for (const image of images) turn.book.addImage(name, image, terms)
      const within = { of: next === undefined ? 'reads' : of, after: next } as const
      return { ...run, within, failures: 0 }
    }
  }
  const { items, next } = await ledgerOf(name).blobReads(after, DIGESTS_AT_ONCE)
  return () => {
    for (const { digest, at } of items) {
      for (const key of blobKeys(name, isPrivate(name), digest)) turn.book.addRead(key, at)
    }
    return next === undefined ? nextName(run) : { ...run, within: { of, after: next }, failures: 0 }
  }
}

/** One repository is no reason to remove nothing of all others. What it may have stays, as nobody knows what it needs. */
function failedImages(
  name: MirroredName,
  run: CollectRun,
  how: { readonly turn: Turn; readonly given: CollectGiven; readonly why: string },
): Commit {
  const { turn, given, why } = how
  const subject = canonicalName(name)
  const failures = (run.failures ?? 0) + 1
  if (failures < MAX_FAILURES) {
    turn.waitsFor = `${subject} does not tell of its images: ${why}`
    return () => ({ ...run, failures })
  }
  return () => {
    turn.book.spareAll(name, given.isPrivate(name))
    turn.context.report({ subject, outcome: 'failed', note: why })
    return nextName(run)
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function hostOf(key: string): string {
  return key.slice(MIRROR_PREFIX.length).split('/', 1)[0] ?? ''
}

function rankOf(host: string, { isConfigured }: CollectGiven): number {
  return isConfigured(host) ? 1 : 0
}
