// The configuration of an image, as far as people look at it (image-spec v1.1.1, "Image Configuration"). It is
// anybody's JSON: what is not as it should be is left out, and what is too long is cut.

import { Excerpt } from './excerpt.ts'
import { isJSONObject, parseJSONObject } from './json-object.ts'
import { formatPlatform } from './platform.ts'

/** Nothing longer is read (bytes). */
export const MAX_CONFIG = 1024 * 1024
/** Steps of a history. */
const MAX_HISTORY = 500

/** The media types of configurations of images; those of anything else are its own concern. */
const IMAGE_CONFIG_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
])

type Members = Readonly<Record<string, unknown>>

/* RFC 3339 §5.6 */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i

/** What an image is run with. */
export interface ImageConfig {
  /** Milliseconds. */
  readonly created: number | undefined
  readonly author: string | undefined
  /** `linux/arm/v7`. */
  readonly platform: string | undefined
  readonly user: string | undefined
  readonly workingDir: string | undefined
  readonly stopSignal: string | undefined
  readonly entrypoint: readonly string[]
  readonly cmd: readonly string[]
  /** `NAME=value`: a configuration is as public as its image. */
  readonly env: readonly string[]
  /** `80/tcp`. */
  readonly exposedPorts: readonly string[]
  readonly volumes: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

/** One step of how an image was built. */
export interface ImageHistory {
  /** Milliseconds. */
  readonly created: number | undefined
  readonly createdBy: string | undefined
  readonly comment: string | undefined
  /** Whether it made no layer. */
  readonly isEmpty: boolean
}

/** A configuration with the history in it; `isCut`: there is more in it than here. */
export interface ParsedImageConfig {
  readonly config: ImageConfig
  readonly history: readonly ImageHistory[]
  readonly isCut: boolean
}

/** Whether a config descriptor of this media type is that of an image. */
export function isImageConfig(mediaType: string): boolean {
  return IMAGE_CONFIG_TYPES.has(mediaType.toLowerCase())
}

/** Reads a configuration; `undefined`: these bytes are none. */
export function parseImageConfig(bytes: Uint8Array): ParsedImageConfig | undefined {
  if (bytes.byteLength > MAX_CONFIG) return undefined
  const members = parseJSONObject(bytes)?.members
  return members && read(members)
}

function read(members: Members): ParsedImageConfig {
  const run = isJSONObject(members['config']) ? members['config'] : {}
  const excerpt = new Excerpt()
  const config: ImageConfig = {
    created: timeOf(members['created']),
    author: excerpt.text(members['author']),
    platform: formatPlatform(members),
    user: excerpt.text(run['User']),
    workingDir: excerpt.text(run['WorkingDir']),
    stopSignal: excerpt.text(run['StopSignal']),
    entrypoint: excerpt.texts(run['Entrypoint']),
    cmd: excerpt.texts(run['Cmd']),
    env: excerpt.texts(run['Env']),
    exposedPorts: excerpt.keys(run['ExposedPorts']),
    volumes: excerpt.keys(run['Volumes']),
    labels: excerpt.map(run['Labels']),
  }
  const history = historyOf(members['history'], excerpt)
  return { config, history, isCut: excerpt.isCut }
}

function historyOf(value: unknown, excerpt: Excerpt): readonly ImageHistory[] {
  const steps = Array.isArray(value) ? value.filter(isJSONObject) : []
  return excerpt.some(steps, MAX_HISTORY).map((step) => ({
    created: timeOf(step['created']),
    createdBy: excerpt.text(step['created_by']),
    comment: excerpt.text(step['comment']),
    isEmpty: step['empty_layer'] === true,
  }))
}

/** Go's zero time says nothing either. */
function timeOf(value: unknown): number | undefined {
  if (typeof value !== 'string' || !TIME.test(value)) return undefined
  const time = Date.parse(value)
  return Number.isNaN(time) || time <= 0 ? undefined : time
}
