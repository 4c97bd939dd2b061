// `REDIRECT` and `S3_*`: whether clients read blobs from object storage themselves, where that is, and who is not
// sent there.

import { isLoopbackHost, isPrivateHost } from '../oci/host.ts'
import { parseTextPattern } from '../oci/pattern.ts'
import type { Pattern } from '../oci/pattern.ts'
import type { S3Bucket } from '../storage/presign.ts'
import { isEmpty, readList, readObject, readPattern, readText, refuse } from './setting.ts'
import type { Setting } from './setting.ts'

/** A rule of `REDIRECT`; what it leaves out matches anything. */
export interface RedirectRule {
  /** The host by which a client asks for this registry, without a port. */
  readonly host: Pattern | undefined
  readonly userAgent: Pattern | undefined
  /** Canonical names. */
  readonly repositories: Pattern | undefined
  readonly isRedirected: boolean
}

/** How blobs are redirected. */
export interface RedirectRules {
  readonly bucket: S3Bucket
  /** The first that matches decides; where none does, clients are redirected. */
  readonly rules: readonly RedirectRule[]
}

/** The settings of a bucket, by name. */
export interface S3Settings {
  readonly S3_ENDPOINT: Setting
  readonly S3_BUCKET: Setting
  readonly S3_ACCESS_KEY_ID: Setting
  readonly S3_SECRET_ACCESS_KEY: Setting
}

/** Reads `REDIRECT` and `S3_*`; no rules where every blob is streamed, with a warning where that may surprise. */
export function readRedirect(
  setting: Setting,
  s3: S3Settings,
): { readonly redirect: RedirectRules | undefined; readonly warnings: readonly string[] } {
  const rules = readRules(setting)
  const bucket = readBucket(s3)
  const isNever = rules.length === 1 && rules[0] !== undefined && isNeverForAll(rules[0])
  if (bucket !== undefined) {
    return { redirect: isNever ? undefined : { bucket, rules }, warnings: [] }
  }
  // The bucket alone says nothing: wrangler.toml has its name beside the binding.
  const { S3_BUCKET: _, ...rest } = s3
  const isBegun = Object.values(rest).some((each) => !isEmpty(each))
  const missing = Object.entries(s3).flatMap(([name, each]) => (isEmpty(each) ? [name] : []))
  const warning = `blobs are streamed, not redirected: ${missing.join(' and ')} not set`
  return { redirect: undefined, warnings: isBegun && !isNever ? [warning] : [] }
}

function readRules(setting: Setting): readonly RedirectRule[] {
  const everything = { host: undefined, userAgent: undefined, repositories: undefined }
  if (isEmpty(setting)) return []
  if (!Array.isArray(setting.value)) {
    return [{ ...everything, isRedirected: readMode(setting, MODES_OR_RULES) }]
  }
  return readList(setting, MODES_OR_RULES).map(readRule)
}

const MODES_OR_RULES = '"auto", "never" or a list of { host, userAgent, repositories, redirect }'

function readRule(setting: Setting): RedirectRule {
  const members = readObject(setting, 'an object { host, userAgent, repositories, redirect }', [
    'host',
    'userAgent',
    'repositories',
    'redirect',
  ])
  const repositories = members.get('repositories')
  const redirect = members.get('redirect')
  return {
    host: readTextPattern(members.get('host'), 'a host name, "*" for any characters'),
    userAgent: readTextPattern(members.get('userAgent'), 'a User-Agent, "*" for any characters'),
    repositories: repositories && readPattern(repositories),
    isRedirected:
      redirect === undefined
        ? refuse({ ...setting, path: `${setting.path}.redirect`, value: undefined }, MODES)
        : readMode(redirect, MODES),
  }
}

const MODES = '"auto" or "never"'

function readMode(setting: Setting, expected: string): boolean {
  const { value } = setting
  if (value === 'auto' || value === 'never') return value === 'auto'
  return refuse(setting, expected)
}

function readTextPattern(setting: Setting | undefined, expected: string): Pattern | undefined {
  return setting && parseTextPattern(readText(setting, expected))
}

function isNeverForAll({ host, userAgent, repositories, isRedirected }: RedirectRule): boolean {
  return !isRedirected && [host, userAgent, repositories].every((each) => each === undefined)
}

function readBucket(settings: S3Settings): S3Bucket | undefined {
  const endpoint = isEmpty(settings.S3_ENDPOINT) ? undefined : readEndpoint(settings.S3_ENDPOINT)
  const bucket = readOptional(settings.S3_BUCKET, 'the name of a bucket')
  if (bucket !== undefined && !/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(bucket)) {
    refuse(settings.S3_BUCKET, 'the name of a bucket')
  }
  const accessKeyId = readOptional(settings.S3_ACCESS_KEY_ID, 'the access key of an R2 token')
  const secretAccessKey = readOptional(settings.S3_SECRET_ACCESS_KEY, 'the secret of an R2 token')
  if (endpoint === undefined || bucket === undefined) return undefined
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined
  // The dashboard shows the endpoint with the bucket behind it.
  if (endpoint.pathname.split('/').at(-1) === bucket) {
    refuse(settings.S3_ENDPOINT, 'the endpoint without the bucket, which S3_BUCKET names')
  }
  return { endpoint, bucket, accessKeyId, secretAccessKey }
}

function readOptional(setting: Setting, expected: string): string | undefined {
  return isEmpty(setting) ? undefined : readText(setting, expected)
}

/** Without a slash at the end. */
function readEndpoint(setting: Setting): URL {
  const expected =
    'the S3 endpoint as an https URL with a public host, e.g. "https://<account>.r2.cloudflarestorage.com"'
  const url = URL.parse(readText(setting, expected))
  if (url === null || !isReachable(url) || url.search !== '' || url.hash !== '') {
    return refuse(setting, expected)
  }
  url.pathname = url.pathname.replace(/\/$/, '')
  return url
}

/** By https at a public host, or on this machine, and with nothing in it that would have to be encoded. */
function isReachable({ protocol, hostname, username, password, pathname }: URL): boolean {
  if (username !== '' || password !== '' || pathname.includes('%')) return false
  if (isLoopbackHost(hostname)) return protocol === 'http:' || protocol === 'https:'
  return protocol === 'https:' && !isPrivateHost(hostname)
}
