// Images of upstreams as orders, pins and refreshes name them: a canonical name with a tag or a digest, written as
// clients write it. What is hosted has no upstream, so nothing of this is done to it.

import type { Config } from '../config.ts'
import { resolveAddress } from '../oci/address.ts'
import type { Address } from '../oci/address.ts'
import { nameWithoutCapability } from '../oci/capability.ts'
import { parseDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { parseTag } from '../oci/reference.ts'
import type { Reference } from '../oci/reference.ts'
import { canonicalName } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import { isPlatform } from './import-platforms.ts'

const FORM = 'expected an image such as "docker.io/library/nginx:1.29", or with "@sha256:…"'
const PLATFORM_FORM = 'expected a list of platforms such as "linux/amd64" and "linux/arm/v7"'
const MAX_PLATFORMS = 64
/** Characters of a value that an error repeats. */
const MAX_FOUND = 200
/* What may hold a secret: a user before a host, a query, a fragment, a capability. */
const SECRET = /@(?!sha\d+:)|[?#]|%40|(?:^|\/|%2f)(?:t|%74)(?:\/|%2f)+[a-z0-9]{52}/i

/** A repository of an upstream, and what of it. */
export interface ImageName {
  readonly name: MirroredName
  /** `undefined`: the whole repository was named. */
  readonly reference: Reference | undefined
}

/** What was named, or why it is nothing. */
export type ParsedImageName =
  | ({ readonly ok: true } & ImageName)
  | { readonly ok: false; readonly why: string }

/** Reads the name of an image, or of a repository, as the configuration leads it. */
export function parseImageName(text: unknown, config: Config): ParsedImageName {
  if (typeof text !== 'string') return refuse(FORM)
  const { written, reference } = splitName(text)
  if (reference === 'invalid' || nameWithoutCapability(written) !== written) return refuse(FORM)
  const address = addressOf(written, config)
  if (address === undefined) {
    return refuse(`${FORM}, of an upstream that is configured`)
  }
  if (address.kind === 'hosted') {
    return refuse('this is hosted here: it comes from no upstream, and is never evicted')
  }
  const { host, repository } = address
  if (config.upstreams.get(host)?.isAllowed(repository) !== true) {
    return refuse('the configuration does not let this repository be mirrored')
  }
  return { ok: true, name: { host, repository }, reference }
}

/** The canonical form of what was named. */
export function formatImageName({ name, reference }: ImageName): string {
  const canonical = canonicalName(name)
  if (reference === undefined) return canonical
  return reference.kind === 'tag'
    ? `${canonical}:${reference.tag}`
    : `${canonical}@${reference.digest}`
}

/** Platforms, each once; `undefined` where none are named, which means all; a text says what is wrong. */
export function parsePlatforms(value: unknown): readonly string[] | undefined | string {
  if (value === undefined) return undefined
  if (!Array.isArray(value) || value.length === 0) return `${PLATFORM_FORM}${found(value)}`
  if (value.length > MAX_PLATFORMS) return `expected ${MAX_PLATFORMS} platforms at most`
  if (value.every(isPlatformText)) return [...new Set(value)]
  return `${PLATFORM_FORM}${found(value.find((each) => !isPlatformText(each)))}`
}

function isPlatformText(value: unknown): value is string {
  return typeof value === 'string' && isPlatform(value)
}

/** What was found where something else was expected, as the end of that sentence; nothing that may hold a secret. */
export function found(value: unknown): string {
  if (value === undefined) return ''
  if (Array.isArray(value)) return `, found a list of ${value.length}`
  // Its members may be anything.
  if (typeof value === 'object' && value !== null) return ', found an object'
  if (typeof value !== 'string') return `, found ${JSON.stringify(value)}`
  if (SECRET.test(value)) return ''
  return `, found ${JSON.stringify(value.slice(0, MAX_FOUND))}${value.length > MAX_FOUND ? '…' : ''}`
}

/** A tag follows the last colon behind the last slash: before it, a colon is that of a port. */
export function splitName(text: string): {
  readonly written: string
  readonly reference: Reference | undefined | 'invalid'
} {
  const at = text.indexOf('@')
  if (at >= 0) {
    const written = text.slice(0, at)
    const digest = parseDigest(text.slice(at + 1))
    // With a tag as well it is not said which of them counts.
    const hasTag = written.lastIndexOf(':') > written.lastIndexOf('/')
    if (digest === undefined || hasTag) return { written, reference: 'invalid' }
    return { written, reference: { kind: 'digest', digest } }
  }
  const colon = text.lastIndexOf(':')
  if (colon < 0 || colon < text.lastIndexOf('/')) return { written: text, reference: undefined }
  const tag = parseTag(text.slice(colon + 1))
  const reference = tag === undefined ? 'invalid' : ({ kind: 'tag', tag } as const)
  return { written: text.slice(0, colon), reference }
}

/** Of a name that leads nowhere there is none. */
function addressOf(name: string, config: Config): Address | undefined {
  try {
    return resolveAddress({ name, base: undefined, ns: [] }, config.table)
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}

function refuse(why: string): { readonly ok: false; readonly why: string } {
  return { ok: false, why }
}
