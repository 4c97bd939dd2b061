// Exports in R2: what there is, in and out in parts, and away. An export is there when its index is, which is written
// when every part has been.

import {
  exportIndexKey,
  exportPartKey,
  exportPrefix,
  EXPORTS_PREFIX,
  incomingIndexKey,
} from '../storage/keys.ts'
import { ExportError, parseIndex, sha256 } from './export-file.ts'
import type { ExportIndex } from './export-file.ts'

const DAY = 24 * 60 * 60 * 1000
/** What has no index after so long is what a failure has left (milliseconds). */
const KEEP_INCOMPLETE = DAY
/** R2 lists, and deletes, no more at once. */
const MAX_LIST = 1000
/** Indexes that are read together. */
const AT_ONCE = 20

/** An export in one line. */
export interface ExportSummary {
  readonly id: string
  /** Milliseconds. */
  readonly at: number
  readonly bytes: number
  readonly isNightly: boolean
  readonly counts: ExportIndex['counts']
}

/** What becomes of an index that is brought here: all its parts are there, or these are missing. */
export type Reception =
  | { readonly isComplete: true }
  | { readonly isComplete: false; readonly missing: readonly number[] }

/** The newest nightly exports, so many; `isByDay`: the newest of each day (UTC), of so many days. */
export interface Keep {
  readonly count: number
  readonly isByDay: boolean
}

/** Keeps exports. Every method rejects while storage is away. */
export class Exports {
  readonly #bucket: R2Bucket

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket
  }

  /** All exports, the newest first. */
  async list(): Promise<readonly ExportSummary[]> {
    const found: ExportSummary[] = []
    const ids = await this.#ids()
    for (let from = 0; from < ids.length; from += AT_ONCE) {
      const some = ids.slice(from, from + AT_ONCE).map((id) => this.#summary(id))
      found.push(...(await Promise.all(some)).flatMap((each) => each ?? []))
    }
    return found.toSorted((a, b) => b.at - a.at)
  }

  /** What an export has; `undefined`: there is none. @throws {ExportError} where it cannot be read. */
  async index(id: string): Promise<ExportIndex | undefined> {
    const object = await this.#bucket.get(exportIndexKey(id))
    return object === null ? undefined : parseIndex(await object.bytes())
  }

  /** The bytes of a part. @throws {ExportError} where they are not what the index says. */
  async part(index: ExportIndex, n: number): Promise<Uint8Array> {
    const object = await this.#bucket.get(exportPartKey(index.id, n))
    if (object === null) throw new ExportError(`part ${n} of export ${index.id} is missing`)
    const bytes = await object.bytes()
    await check(index, n, bytes)
    return bytes
  }

  /** The index and all parts, one after the other. */
  stream(index: ExportIndex): ReadableStream<Uint8Array> {
    const parts = index.parts.entries()
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => controller.enqueue(encode(`${JSON.stringify(index)}\n`)),
        pull: async (controller) => {
          const next = parts.next()
          if (next.done === true) return controller.close()
          controller.enqueue(await this.part(index, next.value[0]))
        },
      },
      { highWaterMark: 0 },
    )
  }

  /** Stores a part that is made here; the index tells of it later. */
  async putPart(id: string, n: number, bytes: Uint8Array): Promise<void> {
    await this.#bucket.put(exportPartKey(id, n), bytes, {
      httpMetadata: { contentType: 'application/x-ndjson' },
    })
  }

  /** Makes an export visible. */
  async putIndex(index: ExportIndex): Promise<void> {
    await this.#bucket.put(exportIndexKey(index.id), JSON.stringify(index), {
      httpMetadata: { contentType: 'application/json' },
    })
  }

  /** Takes the index of an export from elsewhere: it is there when all its parts are. May be repeated. */
  async receive(index: ExportIndex): Promise<Reception> {
    const sizes = await this.#sizes(index.id)
    const missing = index.parts.flatMap(({ bytes }, n) =>
      sizes.get(exportPartKey(index.id, n)) === bytes ? [] : [n],
    )
    if (missing.length > 0) {
      await this.#bucket.put(incomingIndexKey(index.id), JSON.stringify(index))
      return { isComplete: false, missing }
    }
    await this.putIndex(index)
    await this.#bucket.delete(incomingIndexKey(index.id))
    return { isComplete: true }
  }

  /** Takes part `n` of an export whose index was brought. False: it was not. @throws {ExportError} */
  async receivePart(id: string, n: number, bytes: Uint8Array): Promise<boolean> {
    const object = await this.#bucket.get(incomingIndexKey(id))
    if (object === null) return false
    const index = parseIndex(await object.bytes())
    await check(index, n, bytes)
    await this.putPart(id, n, bytes)
    return true
  }

  /** Removes an export, or what is there of it. False: nothing was. */
  async delete(id: string): Promise<boolean> {
    // Its index first: what is half removed is no export.
    await this.#bucket.delete(exportIndexKey(id))
    let isThere = false
    for (;;) {
      const { objects } = await this.#bucket.list({ prefix: exportPrefix(id), limit: MAX_LIST })
      if (objects.length === 0) return isThere
      isThere = true
      await this.#bucket.delete(objects.map(({ key }) => key))
    }
  }

  /** Removes nightly exports but those to keep, and what was never completed; the ids of those that are gone. */
  async prune(now: number, keep: Keep): Promise<readonly string[]> {
    const complete = await this.list()
    const known = new Set(complete.map(({ id }) => id))
    const nightly = complete.filter(({ isNightly }) => isNightly)
    const kept = new Set((keep.isByDay ? newestOfDays(nightly) : nightly).slice(0, keep.count))
    const old = nightly.filter((each) => !kept.has(each)).map(({ id }) => id)
    const others = (await this.#ids()).filter((id) => !known.has(id))
    const left = await Promise.all(others.map((id) => this.#isLeft(id, now)))
    const gone = [...old, ...others.filter((_, index) => left[index])]
    for (const id of gone) await this.delete(id)
    return gone
  }

  /** Whether nothing was added to an export without an index for long. */
  async #isLeft(id: string, now: number): Promise<boolean> {
    if ((await this.#bucket.head(exportIndexKey(id))) !== null) return false
    const { objects } = await this.#bucket.list({ prefix: exportPrefix(id), limit: MAX_LIST })
    return objects.every(({ uploaded }) => uploaded.getTime() < now - KEEP_INCOMPLETE)
  }

  async #summary(id: string): Promise<ExportSummary | undefined> {
    try {
      const index = await this.index(id)
      if (index === undefined) return undefined
      const { at, isNightly, counts, parts } = index
      return { id, at, isNightly, counts, bytes: parts.reduce((sum, part) => sum + part.bytes, 0) }
    } catch (error) {
      // One of a newer release is none that can be used here, and none that is to be removed.
      if (error instanceof ExportError) return undefined
      throw error
    }
  }

  async #ids(): Promise<readonly string[]> {
    const found: string[] = []
    let from: R2ListOptions = {}
    for (;;) {
      const page = await this.#bucket.list({ prefix: EXPORTS_PREFIX, delimiter: '/', ...from })
      found.push(...page.delimitedPrefixes.map((prefix) => prefix.slice(EXPORTS_PREFIX.length, -1)))
      if (!page.truncated) return found
      from = { cursor: page.cursor }
    }
  }

  async #sizes(id: string): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>()
    let from: R2ListOptions = {}
    for (;;) {
      const page = await this.#bucket.list({ prefix: exportPrefix(id), ...from })
      for (const { key, size } of page.objects) found.set(key, size)
      if (!page.truncated) return found
      from = { cursor: page.cursor }
    }
  }
}

/** @throws {ExportError} where bytes are not those of a part. */
async function check(index: ExportIndex, n: number, bytes: Uint8Array): Promise<void> {
  const part = index.parts[n]
  if (part === undefined) {
    throw new ExportError(`export ${index.id} has ${index.parts.length} parts and no part ${n}`)
  }
  if (bytes.byteLength !== part.bytes) {
    throw new ExportError(
      `part ${n} of export ${index.id} has ${part.bytes} bytes, and here are ${bytes.byteLength}`,
    )
  }
  if ((await sha256(bytes)) !== part.sha256) {
    throw new ExportError(`part ${n} of export ${index.id} has another SHA-256 than its index says`)
  }
}

/** Of exports, the newest first, the first of each day. */
function newestOfDays(exports: readonly ExportSummary[]): readonly ExportSummary[] {
  const dayOf = ({ at }: ExportSummary): number => Math.floor(at / DAY)
  return exports.filter((each, index) => {
    const before = exports[index - 1]
    return before === undefined || dayOf(before) !== dayOf(each)
  })
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
