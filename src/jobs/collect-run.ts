// How far a collection has come, and how it is ordered.

import { LOW_FORM, SIZE_FORM, formatSize, parseLow, parseSize } from '../config.ts'
import type { StorageTarget } from '../config.ts'
import type { Digest } from '../oci/digest.ts'
import { OrderError } from './job.ts'
import type { JobOrder, JobProgress, JobResult } from './job.ts'

/** What a collection was ordered to do. */
export interface CollectState {
  /** Absent: nothing is removed, only measured. */
  readonly target: StorageTarget | undefined
  readonly isDryRun: boolean
}

/** Objects of a host, and their bytes. */
export interface HostFigures {
  readonly bytes: number
  readonly objects: number
}

/** What lay below `mirror/` at a time (milliseconds), by host. */
export interface StorageFigures {
  readonly at: number
  readonly hosts: Readonly<Record<string, HostFigures>>
}

/**
 * What is done, in this order, the last three in turns: leftover segments, sizes; and where there is too much, every
 * object, every image, what goes, who needs it after all, and removing it.
 */
export type CollectStage =
  | 'fills'
  | 'sizes'
  | 'objects'
  | 'images'
  | 'choose'
  | 'check'
  | 'remove'
  | 'done'

/** How far it is. */
export interface CollectRun {
  readonly stage: CollectStage
  /** When it began; what was read since the mark stays (milliseconds). */
  readonly at: number
  readonly mark: number
  /** The last key or name that was read from a list. */
  readonly after: string | undefined
  /** Repositories that were read and not yet asked, and how far the first one has told of its images or reads. */
  readonly names: readonly string[]
  readonly within: { readonly of: 'images' | 'reads'; readonly after: Digest | undefined }
  /** How often the first of them has failed to tell of them, one time after the other; absent: never. */
  readonly failures?: number
  readonly hosts: Readonly<Record<string, HostFigures>>
  /** Bytes below `mirror/` at the beginning and now. */
  readonly before: number
  readonly bytes: number
  /** Objects that were looked at. */
  readonly objects: number
  readonly removed: {
    readonly images: number
    readonly blobs: number
    readonly manifests: number
    readonly bytes: number
    readonly fills: number
  }
}

/** Isolates tell of a read again only after an hour, and may be late: what was read since so long ago stays (milliseconds). */
export const UNTOLD = 2 * 60 * 60 * 1000

/** At the beginning of a list. */
export const FIRST: Pick<CollectRun, 'after' | 'names' | 'within'> = {
  after: undefined,
  names: [],
  within: { of: 'images', after: undefined },
}

/** A run that begins now. */
export function beginRun(now: number): CollectRun {
  return {
    stage: 'fills',
    at: now,
    mark: now - UNTOLD,
    ...FIRST,
    hosts: {},
    before: 0,
    bytes: 0,
    objects: 0,
    removed: { images: 0, blobs: 0, manifests: 0, bytes: 0, fills: 0 },
  }
}

/** What people see of it: objects while it looks, bytes while it removes. */
export function progressOf(run: CollectRun, target: StorageTarget | undefined): JobProgress {
  const isRemoving = run.before > 0 && ['choose', 'check', 'remove', 'done'].includes(run.stage)
  if (isRemoving && target !== undefined && run.before > target.target) {
    // Whole images go, and the last one is seldom what was still wanted.
    const total = run.before - target.low
    return { done: Math.min(run.removed.bytes, total), total, unit: 'bytes' }
  }
  const isSized = run.stage !== 'fills' && run.stage !== 'sizes'
  const total = Object.values(run.hosts).reduce((sum, { objects }) => sum + objects, 0)
  return { done: run.objects, total: isSized ? total : undefined, unit: 'objects' }
}

/** What it has come to. */
export function resultOf({ before, bytes, removed }: CollectRun, isDryRun: boolean): JobResult {
  return {
    bytesBefore: before,
    bytesAfter: bytes,
    images: removed.images,
    blobs: removed.blobs,
    manifests: removed.manifests,
    bytesRemoved: removed.bytes,
    segments: removed.fills,
    ...(isDryRun && { dryRun: 'nothing was removed' }),
  }
}

const MEMBERS = ['dryRun', 'target', 'low']

/**
 * Reads `{ dryRun?, target?, low? }`; a size that it does not name is that of the configuration.
 * @throws {OrderError}
 */
export function parseCollect(
  members: Readonly<Record<string, unknown>>,
  configured: StorageTarget | undefined,
): JobOrder {
  for (const key of Object.keys(members)) {
    if (!MEMBERS.includes(key)) {
      throw new OrderError(key, `expected one of ${MEMBERS.join(', ')}, found an unknown key`)
    }
  }
  const { dryRun } = members
  if (dryRun !== undefined && typeof dryRun !== 'boolean') {
    throw new OrderError('dryRun', 'expected true or false')
  }
  const state: CollectState = { target: readTarget(members, configured), isDryRun: dryRun === true }
  return { kind: 'collect', title: titleOf(state), state }
}

function readTarget(
  { target: size, low: mark }: Readonly<Record<string, unknown>>,
  configured: StorageTarget | undefined,
): StorageTarget | undefined {
  if (size === undefined && mark === undefined) return configured
  const target = size === undefined ? configured?.target : parseSize(size)
  if (size !== undefined && (target === undefined || target === 0)) {
    throw new OrderError('target', `expected ${SIZE_FORM} above 0`)
  }
  if (target === undefined) {
    const why = 'expected a target beside low: STORAGE_TARGET is not set'
    throw new OrderError('target', why, true)
  }
  const low = parseLow(mark, target)
  if (low === undefined) throw new OrderError('low', `expected ${LOW_FORM}`)
  return { target, low }
}

function titleOf({ target, isDryRun }: CollectState): string {
  if (target === undefined) return 'measure what is mirrored'
  const { low, target: most } = target
  const what = `at most ${formatSize(most)} of what is mirrored, or else down to ${formatSize(low)}`
  return isDryRun ? `${what} (dry run)` : what
}
