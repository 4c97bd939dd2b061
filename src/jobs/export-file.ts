// An export as it lies in R2 and leaves the registry: an index, and parts of lines of JSON. A part begins with the
// repository that its rows belong to, so that each can be read by itself.

import type { Account } from '../auth/account.ts'
import { MAX_TIME, isTime } from '../auth/keeping.ts'
import type { Pin } from '../auth/pins.ts'
import type { Switches } from '../auth/switches.ts'
import type { DumpRow } from '../hosted/inventory.ts'
import { parseDigest } from '../oci/digest.ts'
import { isJSONObject } from '../oci/json-object.ts'
import { parseTag } from '../oci/reference.ts'
import { parseRepositoryName } from '../oci/repository-name.ts'
import type { RepositoryName } from '../oci/repository-name.ts'

/** By which an index is known, and what this release writes and reads. */
const FORMAT = 'entrepot-export'
const VERSION = 1
/** A part is closed when it has so many bytes; rows of one repository, and one large row, can follow. */
export const PART_SIZE = 4 * 1024 * 1024
/** No part and no index is larger (bytes). */
export const MAX_PART = 48 * 1024 * 1024
export const MAX_INDEX = 8 * 1024 * 1024
const ID = /^[a-z0-9][a-z0-9-]{7,63}$/
const CONTENT = /^[A-Za-z0-9-]{1,64}$/
const SHA256 = /^[0-9a-f]{64}$/
/** The last day that a date can be of. */
const MAX_DAY = MAX_TIME / (24 * 60 * 60 * 1000)

/** A part: the SHA-256 of its bytes in hex, and how many bytes and lines it has. */
export interface ExportPart {
  readonly sha256: string
  readonly bytes: number
  readonly lines: number
}

/** What is in an export, counted. */
export interface ExportCounts {
  readonly repositories: number
  readonly tags: number
  readonly manifests: number
  readonly blobs: number
  readonly accounts: number
  readonly pins: number
  /** Repositories that are listed, and whose ledgers knew nothing. */
  readonly empty: number
  /** Those whose ledgers could not be read, so that they are not here, or not all of them; absent: none. */
  readonly failed?: number
}

/** What an export has. */
export interface ExportIndex {
  readonly format: typeof FORMAT
  readonly version: typeof VERSION
  readonly id: string
  /** When it was begun (milliseconds). */
  readonly at: number
  /** Whether the clock ordered it: of those, old ones are removed. */
  readonly isNightly: boolean
  readonly counts: ExportCounts
  readonly parts: readonly ExportPart[]
}

/** One line of a part. */
export type ExportLine =
  | { readonly kind: 'repository'; readonly name: RepositoryName }
  | DumpRow
  | { readonly kind: 'account'; readonly account: Account }
  | { readonly kind: 'pin'; readonly pin: Pin }
  | { readonly kind: 'switches'; readonly switches: Switches }

/** An index or a part that is none. The message is for people. */
export class ExportError extends Error {
  override readonly name = 'ExportError'
}

/** Whether a text is the id of an export, as they are made here. */
export function isExportID(text: string): boolean {
  return ID.test(text)
}

/** Makes an index. */
export function indexOf(given: Omit<ExportIndex, 'format' | 'version'>): ExportIndex {
  return { format: FORMAT, version: VERSION, ...given }
}

/** Reads an index. @throws {ExportError} where it is none, or one of a newer release. */
export function parseIndex(bytes: Uint8Array): ExportIndex {
  const members = readObject(new TextDecoder().decode(bytes))
  if (members?.['format'] !== FORMAT) {
    throw new ExportError('this is no index of an export: its first line has another format')
  }
  const { version, id, parts } = members
  if (version !== VERSION) {
    throw new ExportError(
      `this export has version ${JSON.stringify(version)} of its format and this release reads ${VERSION}: a newer release has written it`,
    )
  }
  const isWhole =
    typeof id === 'string' &&
    isExportID(id) &&
    isMoment(members['at']) &&
    typeof members['isNightly'] === 'boolean' &&
    isCounts(members['counts']) &&
    Array.isArray(parts) &&
    parts.every(isPart)
  if (!isWhole) throw new ExportError('the index of this export is damaged')
  // All that is used of it was looked at.
  return members as unknown as ExportIndex
}

/** A line as it is written. */
export function formatLine(line: ExportLine): string {
  return `${JSON.stringify(line)}\n`
}

/** The lines of a part. @throws {ExportError} where one says what is none of this registry. */
export function parseLines(bytes: Uint8Array): readonly ExportLine[] {
  const lines = new TextDecoder().decode(bytes).split('\n')
  if (lines.pop() !== '')
    throw new ExportError('a part of this export ends in the middle of a line')
  return lines.map((text, index) => {
    const line = parseLine(text)
    if (line === undefined)
      throw new ExportError(`line ${index + 1} of a part of this export is damaged`)
    return line
  })
}

/** The SHA-256 of bytes in hex. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', bytes)
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

const COUNTS = [
  'repositories',
  'tags',
  'manifests',
  'blobs',
  'accounts',
  'pins',
  'empty',
] satisfies readonly (keyof ExportCounts)[]

function isCounts(value: unknown): boolean {
  return isJSONObject(value) && COUNTS.every((name) => isCount(value[name]))
}

function isPart(value: unknown): value is ExportPart {
  if (!isJSONObject(value)) return false
  const { sha256: hash, bytes, lines } = value
  return isText(hash, SHA256) && isCount(bytes) && bytes <= MAX_PART && isCount(lines)
}

/**
 * What each kind of line must have; nothing that becomes a key or a name goes unread. Of accounts, pins and switches one
 * that is none is left out by itself (restore-authority.ts).
 */
const CHECKS: Readonly<Record<ExportLine['kind'], (line: Members) => boolean>> = {
  repository: ({ name }) => isText(name) && parseRepositoryName(name) !== undefined,
  blob: ({ digest, content, size, counter }) =>
    isDigest(digest) && isText(content, CONTENT) && isCount(size) && isCount(counter),
  manifest: ({ digest, mediaType, size, pushedAt, children, referrer }) =>
    isDigest(digest) &&
    isText(mediaType) &&
    (size === undefined || isCount(size)) &&
    isMoment(pushedAt) &&
    Array.isArray(children) &&
    children.every((child) => typeof child === 'string') &&
    (referrer === undefined || isReferrer(referrer)),
  tag: ({ tag, digest, pushedAt }) => isTag(tag) && isDigest(digest) && isMoment(pushedAt),
  counter: ({ digest, counter }) => isDigest(digest) && isCount(counter),
  read: ({ digest, at }) => isDigest(digest) && isMoment(at),
  pulls: ({ day, pulls }) => isCount(day) && day <= MAX_DAY && isCount(pulls),
  account: ({ account }) => isJSONObject(account),
  pin: ({ pin }) => isJSONObject(pin),
  switches: ({ switches }) => isJSONObject(switches),
}

type Members = Readonly<Record<string, unknown>>

function parseLine(text: string): ExportLine | undefined {
  const members = readObject(text)
  const kind = Object.keys(CHECKS).find((each) => each === members?.['kind'])
  if (members === undefined || kind === undefined) return undefined
  // Only names of kinds are keys of that table, and its check has looked at every member that a line of that kind has.
  return CHECKS[kind as ExportLine['kind']](members)
    ? (members as unknown as ExportLine)
    : undefined
}

function readObject(text: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isJSONObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isReferrer(value: unknown): boolean {
  return isJSONObject(value) && isDigest(value['subject']) && isJSONObject(value['descriptor'])
}

function isDigest(value: unknown): boolean {
  return isText(value) && parseDigest(value) !== undefined
}

function isTag(value: unknown): boolean {
  return isText(value) && parseTag(value) !== undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

/** As the clock tells it, and as a date can be written. */
function isMoment(value: unknown): boolean {
  return isCount(value) && isTime(value)
}

function isText(value: unknown, pattern = /^.+$/s): value is string {
  return typeof value === 'string' && pattern.test(value)
}
