// Orders of an import: some images of configured upstreams, or repositories of any other registry; and where each
// repository of that one goes.

import { resolveAddress } from '../oci/address.ts'
import type { Address } from '../oci/address.ts'
import { RegistryError } from '../oci/error.ts'
import { isLoopbackHost } from '../oci/host.ts'
import { isJSONObject } from '../oci/json-object.ts'
import { parsePattern } from '../oci/pattern.ts'
import { formatReference, parseTag } from '../oci/reference.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import { parseRepositoryName } from '../oci/repository-name.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Config } from '../config.ts'
import { found, parseImageName, parsePlatforms } from './image-name.ts'
import { OrderError } from './job.ts'
import type { JobOrder } from './job.ts'

/** Images and patterns of one order. */
const MAX_IMAGES = 1000
const MAX_PATTERNS = 100
/** Characters of a user name or a password. */
const MAX_SECRET = 4096
const FORMS = 'expected { images } or { from, repositories, to }'
const IMAGE_MEMBERS: readonly string[] = ['images', 'platforms']
const REGISTRY_MEMBERS: readonly string[] = [
  'from',
  'repositories',
  'to',
  'credential',
  'realms',
  'platforms',
]

type Members = Readonly<Record<string, unknown>>

/** One image of an order. */
export interface OrderedImage {
  readonly host: string
  readonly source: RepositoryName
  readonly reference: Reference
  readonly target: RepositoryName
  /** `undefined`: its digest only. */
  readonly tag: Tag | undefined
}

/** A login to the registry that is imported from. Only the state of its job holds it. */
export interface OrderedCredential {
  readonly username: string
  readonly password: string
}

/** How far the catalog of a registry is known: not at all, up to a page, or all of it. */
export type CatalogState = 'new' | { readonly next: string; readonly page: number } | 'done'

/** What an import leaves to its next step. */
export interface ImportState {
  readonly order: ImportOrder
  /** `new` only in the first step. */
  readonly catalog: CatalogState
  /** Whether nothing is left to do, and nothing has come of it. */
  readonly isVain: boolean
}

/** What an import was ordered to do. */
export type ImportOrder =
  | {
      readonly form: 'images'
      readonly images: readonly OrderedImage[]
      readonly platforms: readonly string[]
    }
  | {
      readonly form: 'registry'
      /** The base URL, without a trailing slash. */
      readonly from: string
      /** Origins of token services that may see the credential, besides that of `from`. */
      readonly realms: readonly string[]
      readonly credential: OrderedCredential | undefined
      readonly repositories: readonly string[]
      readonly to: RepositoryName
      readonly platforms: readonly string[]
    }

/** Reads an order. @throws {OrderError} */
export function parseImport(members: Members, config: Config): JobOrder {
  const isImages = 'images' in members
  if (!isImages && !('from' in members)) throw new OrderError('', FORMS, true)
  const known = isImages ? IMAGE_MEMBERS : REGISTRY_MEMBERS
  const unknown = Object.keys(members).find((name) => !known.includes(name))
  if (unknown !== undefined) {
    throw new OrderError(unknown.slice(0, 64), `expected ${known.join(', ')} only`)
  }
  const platforms = readPlatforms(members['platforms'])
  return isImages
    ? imagesOrder(members, platforms, config)
    : registryOrder(members, platforms, config)
}

/**
 * Where a repository of the other registry goes, by the first pattern that matches it; `undefined`: nowhere. What
 * stands before the first wildcard, up to its last `/`, is replaced by `to`; of a name without one, all but its last
 * component: `team/**` and `team/app` both lead `team/app` to `<to>/app`.
 */
export function landing(
  name: string,
  patterns: readonly string[],
  to: RepositoryName,
): RepositoryName | undefined {
  const pattern = patterns.find((text) => parsePattern(text)?.matches(name))
  if (pattern === undefined) return undefined
  return parseRepositoryName(`${to}/${name.slice(fixedLength(pattern))}`)
}

/** The hosted repository of a name; `undefined`: it is none, or that of an upstream. */
export function hostedName(name: string, config: Config): RepositoryName | undefined {
  const address = addressOf(name, config)
  return address?.kind === 'hosted' ? address.repository : undefined
}

function fixedLength(pattern: string): number {
  const wildcard = pattern.indexOf('*')
  return pattern.slice(0, wildcard < 0 ? undefined : wildcard).lastIndexOf('/') + 1
}

function imagesOrder(members: Members, platforms: readonly string[], config: Config): JobOrder {
  const { images } = members
  const entries = readList('images', images, MAX_IMAGES)
  const read = entries.map((entry, index) => readImage(`images[${index}]`, entry, config))
  const targets = new Set<string>()
  for (const [index, { target, tag, reference }] of read.entries()) {
    const where = `${target}:${tag ?? formatReference(reference)}`
    if (targets.has(where)) throw new OrderError(`images[${index}].to`, `${where} is there twice`)
    targets.add(where)
  }
  const titles = read.map(titleOf)
  const more = titles.length > 1 ? ` and ${titles.length - 1} more` : ''
  return orderOf(`${titles[0] ?? ''}${more}`, { form: 'images', images: read, platforms })
}

function titleOf({ host, source, reference, target, tag }: OrderedImage): string {
  const mark = reference.kind === 'tag' ? ':' : '@'
  const from = `${host}/${source}${mark}${formatReference(reference)}`
  return `${from} -> ${target}${tag === undefined ? '' : `:${tag}`}`
}

function readImage(field: string, entry: unknown, config: Config): OrderedImage {
  if (!isJSONObject(entry)) throw new OrderError(field, `expected { from, to }${found(entry)}`)
  const { from, to, ...more } = entry
  const [unknown] = Object.keys(more)
  if (unknown !== undefined)
    throw new OrderError(field, `expected { from, to } only${found(unknown)}`)
  const source = readSource(`${field}.from`, from, config)
  return { ...source, ...readTarget(`${field}.to`, to, config) }
}

function readSource(
  field: string,
  value: unknown,
  config: Config,
): Pick<OrderedImage, 'host' | 'source' | 'reference'> {
  const image = parseImageName(readText(field, value), config)
  if (!image.ok) throw new OrderError(field, `${image.why}${found(value)}`)
  const { name, reference } = image
  if (reference === undefined) {
    throw new OrderError(field, `expected an image with tag or digest${found(value)}`)
  }
  return { host: name.host, source: name.repository, reference }
}

/** A hosted repository with a tag, or without one. */
function readTarget(
  field: string,
  value: unknown,
  config: Config,
): Pick<OrderedImage, 'target' | 'tag'> {
  const text = readText(field, value)
  const colon = text.lastIndexOf(':')
  const hasTag = colon > text.lastIndexOf('/')
  const target = hostedName(hasTag ? text.slice(0, colon) : text, config)
  const tag = hasTag ? parseTag(text.slice(colon + 1)) : undefined
  if (text.includes('@') || (hasTag && tag === undefined)) {
    throw new OrderError(
      field,
      `expected a repository with a tag, or without one for the digest only${found(text)}`,
    )
  }
  if (target === undefined) {
    throw new OrderError(field, `expected a repository that HOSTED names${found(text)}`)
  }
  return { target, tag }
}

function registryOrder(members: Members, platforms: readonly string[], config: Config): JobOrder {
  const from = readURL(members['from'])
  const to = parseRepositoryName(readText('to', members['to']).replace(/\/$/, ''))
  if (to === undefined) {
    throw new OrderError('to', `expected the beginning of repository names${found(members['to'])}`)
  }
  const repositories = readPatterns(members['repositories'], to, config)
  const credential = readCredential(members['credential'])
  const realms = readRealms(members['realms'])
  const order = { from, realms, credential, repositories, to, platforms }
  return orderOf(`${from} ${repositories.join(' ')} -> ${to}`, { form: 'registry', ...order })
}

function orderOf(title: string, order: ImportOrder): JobOrder {
  const state: ImportState = { order, catalog: 'new', isVain: false }
  return { kind: 'import', title, state }
}

function readPatterns(value: unknown, to: RepositoryName, config: Config): readonly string[] {
  return readList('repositories', value, MAX_PATTERNS).map((entry, index) => {
    const field = `repositories[${index}]`
    const text = readText(field, entry)
    if (parsePattern(text) === undefined) {
      throw new OrderError(field, `expected a name or a pattern, such as "team/**"${found(text)}`)
    }
    if (text.includes('*')) {
      if (!isReachable(to, config)) throw new OrderError('to', `HOSTED names nothing below ${to}`)
      return text
    }
    const target = parseRepositoryName(text) && landing(text, [text], to)
    if (target === undefined)
      throw new OrderError(field, `expected a repository name${found(text)}`)
    if (hostedName(target, config) === undefined) {
      throw new OrderError('to', `expected a place that HOSTED names, and ${target} is none`)
    }
    return text
  })
}

/** Whether any hosted repository can have a name that begins so. */
function isReachable(to: RepositoryName, { table }: Config): boolean {
  const [first = ''] = to.split('/')
  return !table.upstreams.has(first) && table.hosted.some(({ text }) => isBelow(to, text))
}

function isBelow(prefix: string, pattern: string): boolean {
  const components = pattern.split('/')
  const names = prefix.split('/')
  for (const [index, name] of names.entries()) {
    const component = components[index]
    if (component === '**') return true
    if (component === undefined || parsePattern(component)?.matches(name) !== true) return false
  }
  return components.length > names.length
}

/** https, or http on this machine; what else may not be reached is the concern of whoever reaches. */
function isSafe({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || (protocol === 'http:' && isLoopbackHost(hostname))
}

function readURL(value: unknown): string {
  const expected = `expected an https URL without user, query and fragment${found(value)}`
  const url = URL.parse(readText('from', value))
  if (url === null || `${url.username}${url.password}${url.search}${url.hash}` !== '') {
    throw new OrderError('from', expected)
  }
  if (!isSafe(url)) throw new OrderError('from', expected)
  return url.href.replace(/\/+$/, '')
}

function readCredential(value: unknown): OrderedCredential | undefined {
  if (value === undefined || value === null) return undefined
  const { username, password, ...more } = isJSONObject(value) ? value : {}
  const isGood = [username, password].every(
    (text) => typeof text === 'string' && text !== '' && text.length <= MAX_SECRET,
  )
  // RFC 7617 §2: a user-id that contains a colon is invalid. Nothing of it is repeated.
  if (!isGood || Object.keys(more).length > 0 || String(username).includes(':')) {
    throw new OrderError('credential', 'expected { username, password }')
  }
  return { username: String(username), password: String(password) }
}

function readRealms(value: unknown): readonly string[] {
  if (value === undefined) return []
  return readList('realms', value, MAX_PATTERNS).map((entry, index) => {
    const text = readText(`realms[${index}]`, entry)
    const url = URL.parse(text)
    if (url !== null && isSafe(url) && url.origin === text.replace(/\/$/, '').toLowerCase())
      return url.origin
    throw new OrderError(
      `realms[${index}]`,
      `expected an origin such as "https://auth.example.com"${found(text)}`,
    )
  })
}

function readPlatforms(value: unknown): readonly string[] {
  const platforms = parsePlatforms(value)
  if (typeof platforms === 'string') throw new OrderError('platforms', platforms)
  return platforms ?? []
}

function readList(field: string, value: unknown, most: number): readonly unknown[] {
  if (Array.isArray(value) && value.length > 0 && value.length <= most) return value
  const why = `expected a list of 1 to ${most} entries${found(value)}`
  throw new OrderError(field, why, value === undefined)
}

function readText(field: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new OrderError(field, `expected a text${found(value)}`, value === undefined)
}

function addressOf(name: string, { table }: Config): Address | undefined {
  try {
    return resolveAddress({ name, base: undefined, ns: [] }, table)
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}
