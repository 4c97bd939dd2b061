// The job that has images here before anybody asks for them: one after the other, a few blobs at a time, and inside the
// upstream's budget. What is here already costs the upstream nothing, so it may be repeated at will.

import type { Config } from '../config.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { Now } from '../seams.ts'
import { formatImageName, found, parseImageName, parsePlatforms } from './image-name.ts'
import { JobFailure, OrderError } from './job.ts'
import type { JobOrder, JobResult } from './job.ts'
import { ImageFetch, newImage } from './prefetch-image.ts'
import type { ImageState, PrefetchSource } from './prefetch-image.ts'
import type { Step, StepContext, Task } from './task.ts'
import type { Hold, UpstreamShare } from './upstream-share.ts'

const MAX_IMAGES = 1000
/** A fill that nobody has asked about for 14 minutes is given up: no wait is longer than this (milliseconds). */
const MAX_WAIT = 10 * 60 * 1000

/** What is to be fetched, how far that is, and what has come of it. */
export interface PrefetchState {
  /** Canonical names. */
  readonly images: readonly string[]
  readonly platforms: readonly string[] | undefined
  /** How many are done, and how the next one stands. */
  readonly done: number
  readonly image: ImageState | undefined
  readonly result: PrefetchResult
}

/** What has become of images, and the bytes that came from upstreams. */
export interface PrefetchResult extends JobResult {
  readonly fetched: number
  readonly present: number
  readonly failed: number
  readonly bytes: number
}

/** What the task is given. */
export interface PrefetchGiven {
  readonly config: Config
  readonly share: UpstreamShare
  readonly sourceOf: (name: MirroredName) => PrefetchSource
  readonly now: Now
}

/** Reads `{ images, platforms }`. @throws {OrderError} */
export function parsePrefetch(
  members: Readonly<Record<string, unknown>>,
  config: Config,
): JobOrder {
  const { images, platforms: named, ...others } = members
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) {
    throw new OrderError(
      unknown.slice(0, 64),
      'there is no such member; there are images, platforms',
    )
  }
  if (!Array.isArray(images) || images.length === 0 || images.length > MAX_IMAGES) {
    throw new OrderError(
      'images',
      `expected a list of 1 to ${MAX_IMAGES} images${found(images)}`,
      images === undefined,
    )
  }
  const platforms = parsePlatforms(named)
  if (typeof platforms === 'string') throw new OrderError('platforms', platforms)
  const parsed = images.map((image, index) => readImage(image, index, config))
  return prefetchOrder([...new Set(parsed)], platforms)
}

/** The order for images that have been read already. */
export function prefetchOrder(
  images: readonly string[],
  platforms: readonly string[] | undefined,
): JobOrder {
  const state: PrefetchState = {
    images,
    platforms,
    done: 0,
    image: undefined,
    result: { fetched: 0, present: 0, failed: 0, bytes: 0 },
  }
  const [first = ''] = images
  const more = images.length > 1 ? ` and ${images.length - 1} more` : ''
  const chosen = platforms === undefined ? '' : ` (${platforms.join(', ')})`
  return { kind: 'prefetch', title: `${first}${more}${chosen}`, state }
}

function readImage(image: unknown, index: number, config: Config): string {
  const field = `images[${index}]`
  const parsed = parseImageName(image, config)
  if (!parsed.ok) throw new OrderError(field, `${parsed.why}${found(image)}`)
  if (parsed.reference === undefined) {
    const why = 'expected a tag or a digest after the name, such as ":latest"'
    throw new OrderError(field, `${why}${found(image)}`)
  }
  return formatImageName(parsed)
}

/** Fetches images. */
export class PrefetchTask implements Task<PrefetchState> {
  readonly #given: PrefetchGiven

  constructor(given: PrefetchGiven) {
    this.#given = given
  }

  /** @throws {JobFailure} when nothing at all could be fetched. */
  async step(before: PrefetchState, context: StepContext): Promise<Step<PrefetchState>> {
    if (isVain(before)) throw new JobFailure('nothing could be fetched: the report says why')
    const { now } = this.#given
    const isOver = (): boolean => context.isCancelled() || now() >= context.until
    let state = before
    while (state.done < state.images.length) {
      if (isOver()) return shown(state, 'again')
      const image = structuredClone(state.image) ?? newImage()
      const end = await this.#fetch(state, image, isOver)
      if (end !== 'done') {
        const next =
          end === 'over' ? 'again' : { ...end, until: Math.min(end.until, now() + MAX_WAIT) }
        return shown({ ...state, image }, next)
      }
      state = this.#ended(state, image, context)
      context.show(progressOf(state))
    }
    // A step that throws loses what it has done: another one says so.
    return shown(state, isVain(state) ? 'again' : 'done')
  }

  async #fetch(
    { images, done, platforms }: PrefetchState,
    image: ImageState,
    isOver: () => boolean,
  ): Promise<'done' | 'over' | Hold> {
    const { config, share, sourceOf, now } = this.#given
    // Another configuration than when it was ordered may lead the name nowhere.
    const parsed = parseImageName(images[done], config)
    const { reference } = parsed.ok ? parsed : {}
    if (!parsed.ok || reference === undefined) {
      image.problem = parsed.ok ? 'it has no tag and no digest' : parsed.why
      return 'done'
    }
    const source = sourceOf(parsed.name)
    return new ImageFetch({ source, share, reference, platforms, isOver, now }, image).run()
  }

  #ended(state: PrefetchState, image: ImageState, context: StepContext): PrefetchState {
    const { digest, bytes, problem, isFetched } = image
    const outcome = problem === undefined ? (isFetched ? 'fetched' : 'present') : 'failed'
    const note = problem ?? image.note
    context.report({
      subject: state.images[state.done] ?? '',
      outcome,
      ...(digest !== undefined && { digest }),
      bytes,
      ...(note !== undefined && { note }),
    })
    const { result } = state
    const counted = { ...result, [outcome]: result[outcome] + 1, bytes: result.bytes + bytes }
    return { ...state, done: state.done + 1, image: undefined, result: counted }
  }
}

/** Whether nothing is left to do, and nothing has come of it. */
function isVain({ images, done, result }: PrefetchState): boolean {
  return done === images.length && result.failed === images.length
}

function progressOf({ done, images }: PrefetchState) {
  return { done, total: images.length, unit: 'images' }
}

function shown(state: PrefetchState, next: Step<PrefetchState>['next']): Step<PrefetchState> {
  return { state, progress: progressOf(state), next, result: state.result }
}
