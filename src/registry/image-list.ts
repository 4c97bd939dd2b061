// The list of all repositories with their figures, a page at a time. One page costs a bounded number of looks into
// storage, however few of the names there are meant.

import { compareASCII, skipTo } from '../oci/page.ts'
import { RegistryError } from '../oci/error.ts'
import type { Log } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import type { RepositoryKind } from '../storage/keys.ts'
import type { Marker, MarkerPage, RepositoryMarkers } from '../storage/repositories.ts'
import type { ImageQuery, RepositoryLine, RepositoryList } from './image.ts'
import type { ImageSource, SourceSummary } from './image-source.ts'
import { inParallel } from './in-parallel.ts'

/** Names that are read from storage at once, and how many times before a page is as long as it is. */
const NAMES = 1000
const ROUNDS = 5
/** With no name seen that may be told there is none to go on from, so it looks on, so far. */
const MAX_ROUNDS = 50
/** Ledgers that are asked at the same time, and how long one has (milliseconds). */
const WIDTH = 20
const WITHIN = 5000
const STORAGE_WITHIN = 10_000
const DAY = 24 * 60 * 60 * 1000

/** What listing needs. */
export interface ImageListGiven {
  readonly markers: Pick<RepositoryMarkers, 'list'>
  /** `undefined`: the configuration does not know it any more, so nothing can be asked of it. */
  readonly sourceOf: (kind: RepositoryKind, canonical: string) => ImageSource | undefined
  readonly log: Log
}

/** Lists repositories. @throws while storage is away. */
export async function listImages(
  given: ImageListGiven,
  query: ImageQuery,
): Promise<RepositoryList> {
  if (query.limit < 1 || query.kinds.length === 0) return { images: [], next: undefined }
  const { markers, next } = await find(given.markers, query)
  const lines = await inParallel(markers, WIDTH, (marker) => lineOf(given, marker))
  return { images: lines.filter((line) => line !== undefined), next }
}

/** The figures of a repository in one line. */
export function describeSummary(
  { kind, canonical }: Marker,
  summary: SourceSummary | undefined,
): RepositoryLine {
  return {
    name: canonical,
    kind,
    tags: summary?.tags,
    manifests: summary?.manifests,
    bytes: summary?.bytes,
    firstSeen: summary?.firstSeen,
    lastPull: summary?.lastPull,
    pulls: (summary?.pulls ?? [])
      .toSorted((a, b) => a.day - b.day)
      .map(({ day, pulls }) => ({ day: nameOfDay(day), pulls })),
  }
}

async function find(
  markers: Pick<RepositoryMarkers, 'list'>,
  query: ImageQuery,
): Promise<{ readonly markers: readonly Marker[]; readonly next: string | undefined }> {
  const { limit, mayRead } = query
  const search = query.search?.toLowerCase() ?? ''
  const found: Marker[] = []
  let { after } = query
  let tellable: string | undefined
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    const list = namesAfter(markers, query, after)
    const page = await inTime(list, STORAGE_WITHIN, 'storage does not answer')
    const readable = page.markers.filter(({ kind, canonical }) => mayRead(kind, canonical))
    found.push(...readable.filter(({ canonical }) => canonical.includes(search)))
    if (found.length > limit) return cut(found, limit)
    if (page.isEnd) return { markers: found, next: undefined }
    tellable = readable.at(-1)?.canonical ?? tellable
    if (round >= ROUNDS && tellable !== undefined) return { markers: found, next: tellable }
    after = page.markers.at(-1)?.canonical ?? after
  }
  throw new RegistryError('UNKNOWN', {
    status: 503,
    message: 'there are too many repositories that this caller may not read',
  })
}

/** The next names of all kinds, past those that could not be read: each kind has its own stretches of them. */
async function namesAfter(
  markers: Pick<RepositoryMarkers, 'list'>,
  { kinds, beginnings }: Pick<ImageQuery, 'kinds' | 'beginnings'>,
  after = '',
): Promise<MarkerPage> {
  const lists = kinds.map(async (kind) => {
    const from = skipTo(after, beginnings?.(kind) ?? [''])
    if (from === undefined) return { markers: [], isEnd: true }
    return markers.list([kind], { after: from, limit: NAMES })
  })
  const pages = await Promise.all(lists)
  const all = pages
    .flatMap((page) => page.markers)
    .toSorted((a, b) => compareASCII(a.canonical, b.canonical))
  const first = all.slice(0, NAMES)
  return { markers: first, isEnd: first.length === all.length && pages.every((page) => page.isEnd) }
}

/** A name can be that of two repositories, one of each kind: then both are on the same page. */
function cut(
  found: readonly Marker[],
  limit: number,
): { readonly markers: readonly Marker[]; readonly next: string | undefined } {
  const last = found[limit - 1]?.canonical ?? ''
  const markers = found.filter(({ canonical }) => compareASCII(canonical, last) <= 0)
  return { markers, next: markers.length < found.length ? last : undefined }
}

/** `undefined`: only the marker is left of it. */
async function lineOf(given: ImageListGiven, marker: Marker): Promise<RepositoryLine | undefined> {
  const source = given.sourceOf(marker.kind, marker.canonical)
  if (source === undefined) return describeSummary(marker, undefined)
  try {
    const summary = await inTime(source.summary(), WITHIN, 'the ledger does not answer')
    return summary && describeSummary(marker, summary)
  } catch (error) {
    given.log('ledger-away', { repository: marker.canonical, reason: String(error) })
    return describeSummary(marker, undefined)
  }
}

function nameOfDay(day: number): string {
  return new Date(day * DAY).toISOString().slice(0, 10)
}
