// Vars and secrets made into a validated `Config`, once per isolate and before `npm start` listens.
// Fails closed: an unknown key or a wrong value stops the start.

import type { Account } from './auth/account.ts'
import type { OIDCIssuer } from './auth/oidc.ts'
import type { AnonymousGrants } from './auth/policy.ts'
import type { AddressTable } from './oci/address.ts'
import type { Pattern } from './oci/pattern.ts'
import { parsePattern } from './oci/pattern.ts'
import type { RepositoryName } from './oci/repository-name.ts'
import type { Credential, Upstream } from './upstream/upstream.ts'
import { readAccounts, readAnonymous, readIssuers, readPublicURL } from './config/access.ts'
import type { Setting } from './config/setting.ts'
import {
  ConfigError,
  isEmpty,
  readList,
  readMember,
  readObject,
  readText,
  refuse,
  settingOf,
} from './config/setting.ts'
import type { HostedEntry } from './config/hosted.ts'
import { readHosted } from './config/hosted.ts'
import { readRedirect } from './config/redirect.ts'
import type { RedirectRules } from './config/redirect.ts'
import { readStorageTarget } from './config/size.ts'
import type { StorageTarget } from './config/size.ts'
import type { NamedUpstream } from './config/upstream.ts'
import { canonicalHost, readUpstream } from './config/upstream.ts'

export type { RedirectRule, RedirectRules } from './config/redirect.ts'
export { LOW_FORM, SIZE_FORM, parseLow, formatSize, parseSize } from './config/size.ts'
export type { StorageTarget } from './config/size.ts'
export { ConfigError } from './config/setting.ts'

/** What a registry runs with. */
export interface Config {
  /** The closed table, by canonical host. */
  readonly upstreams: ReadonlyMap<string, Upstream>
  /** The same table as addressing sees it, with the hosted patterns. */
  readonly table: AddressTable
  /** The patterns of hosted repositories, with what is said of them. */
  readonly hosted: readonly HostedEntry[]
  /** What a caller without an account may do. */
  readonly anonymous: AnonymousGrants
  /** Accounts that are there from the start. */
  readonly accounts: readonly Account[]
  /** Whose tokens log in. */
  readonly issuers: readonly OIDCIssuer[]
  /** Where clients reach the registry, if its requests do not show it. */
  readonly publicURL: URL | undefined
  /** How clients are sent to object storage for blobs; `undefined`: every blob is streamed. */
  readonly redirect: RedirectRules | undefined
  /** How much of what is mirrored is kept; `undefined`: all of it. */
  readonly storage: StorageTarget | undefined
  /** One sentence per setting that is accepted but may surprise its author. */
  readonly warnings: readonly string[]
}

const BINDINGS = [
  'BLOBS',
  'HINTS',
  'MIRROR_LEDGER',
  'BLOB_FILL',
  'UPSTREAM_GATE',
  'HOSTED_LEDGER',
  'UPLOAD_SESSION',
  'BLOB_CLAIMS',
  'AUTHORITY',
  'METER',
  'JOB',
]
/** Without these nothing is limited, or written to Analytics Engine. */
const OPTIONAL = ['LOGIN_LIMIT', 'TOKEN_LIMIT', 'FILL_LIMIT', 'METRICS']
const VARS = [
  'UPSTREAMS',
  'DEFAULT_UPSTREAM',
  'HOSTED',
  'ANONYMOUS',
  'OIDC_ISSUERS',
  'PUBLIC_URL',
  'REDIRECT',
  'S3_ENDPOINT',
  'S3_BUCKET',
  'STORAGE_TARGET',
]
const SECRETS = ['UPSTREAM_CREDENTIALS', 'ACCOUNTS', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY']
const DOCKER_HUB = 'docker.io'

/**
 * The settings among what a Worker is bound to. Names with two leading underscores are left out too:
 * test runners and the platform put them there.
 * @throws {ConfigError} when a binding is missing.
 */
export function settingsOf(env: object): Readonly<Record<string, unknown>> {
  const entries = Object.entries(env)
  for (const binding of BINDINGS) {
    if (!entries.some(([name, value]) => name === binding && value !== undefined)) {
      throw new ConfigError(
        `${binding}: expected the binding that wrangler.toml declares, found nothing`,
      )
    }
  }
  return Object.fromEntries(
    entries.filter(
      ([name]) => ![...BINDINGS, ...OPTIONAL].includes(name) && !name.startsWith('__'),
    ),
  )
}

/**
 * Reads the whole configuration.
 * @throws {ConfigError} at the first setting that is wrong.
 */
export function parseConfig(vars: Readonly<Record<string, unknown>>): Config {
  const setting = readSettings(vars)
  const named = readUpstreams(
    setting('UPSTREAMS'),
    readCredentials(setting('UPSTREAM_CREDENTIALS')),
  )
  const spellings = new Map(
    named.flatMap(({ upstream: { host }, names, library }) =>
      names.map((name) => [name, { host, library }] as const),
    ),
  )
  const upstreams = new Map(named.map(({ upstream }) => [upstream.host, upstream]))
  const hosted = readHosted(setting('HOSTED'), spellings)
  const anonymous = readAnonymous(setting('ANONYMOUS'))
  const { redirect, warnings } = readRedirect(setting('REDIRECT'), {
    S3_ENDPOINT: setting('S3_ENDPOINT'),
    S3_BUCKET: setting('S3_BUCKET'),
    S3_ACCESS_KEY_ID: setting('S3_ACCESS_KEY_ID'),
    S3_SECRET_ACCESS_KEY: setting('S3_SECRET_ACCESS_KEY'),
  })
  return {
    upstreams,
    table: {
      upstreams: spellings,
      defaultUpstream: readDefaultUpstream(setting('DEFAULT_UPSTREAM'), upstreams),
      hosted: hosted.map(({ pattern }) => pattern),
    },
    hosted,
    anonymous,
    accounts: readAccounts(setting('ACCOUNTS')),
    issuers: readIssuers(setting('OIDC_ISSUERS')),
    publicURL: readPublicURL(setting('PUBLIC_URL')),
    redirect,
    storage: readStorageTarget(setting('STORAGE_TARGET')),
    warnings: [...warningsOf(anonymous, named), ...warnings],
  }
}

/** Whether manifests of a hosted repository may name content that is not there: some entry that matches it says so. */
export function isSparse({ hosted }: Pick<Config, 'hosted'>, repository: RepositoryName): boolean {
  return hosted.some((entry) => entry.isSparse && entry.pattern.matches(repository))
}

/** Patterns of the tags of a hosted repository that nobody moves or removes. */
export function immutableTags(
  { hosted }: Pick<Config, 'hosted'>,
  repository: RepositoryName,
): readonly string[] {
  return hosted
    .filter(({ pattern }) => pattern.matches(repository))
    .flatMap(({ immutable }) => immutable)
}

/** Refuses unknown names; gives access to the rest. */
function readSettings(vars: Readonly<Record<string, unknown>>): (name: string) => Setting {
  const known = [...VARS, ...SECRETS]
  for (const name of Object.keys(vars)) {
    if (!known.includes(name)) {
      throw new ConfigError(`${name}: expected one of ${known.join(', ')}, found an unknown key`)
    }
  }
  return (name) => settingOf(name, vars[name], SECRETS.includes(name))
}

function readUpstreams(
  setting: Setting,
  credentials: ReadonlyMap<
    string,
    { readonly setting: Setting; readonly list: readonly Credential[] }
  >,
): readonly NamedUpstream[] {
  const seen = new Map<string, string>()
  const used = new Set<string>()
  const expected = 'an object { "<host>": { … } }'
  const entries = setting.value === undefined ? [] : [...readObject(setting, expected)]
  const named = entries.map(([key, entry]) => {
    const host = canonicalHost(key)
    const other = seen.get(host)
    if (other !== undefined) {
      throw new ConfigError(
        `${entry.path}: expected each registry once, found it also as ${JSON.stringify(other)}`,
      )
    }
    seen.set(host, key)
    return readUpstream(key, entry, (each) => {
      used.add(each)
      return credentials.get(each)?.list ?? []
    })
  })
  for (const [host, { setting: unused }] of credentials) {
    if (!used.has(host))
      refuse(unused, `credentials for a host of UPSTREAMS (${[...seen.values()].join(', ')}) only`)
  }
  return named
}

function readCredentials(
  setting: Setting,
): ReadonlyMap<string, { readonly setting: Setting; readonly list: readonly Credential[] }> {
  const credentials = new Map<string, { setting: Setting; list: readonly Credential[] }>()
  if (isEmpty(setting)) return credentials
  const expected = 'an object { "<host>": [ { "username", "password" } ] }'
  for (const [key, entry] of readObject(setting, expected)) {
    const host = canonicalHost(key)
    if (credentials.has(host)) refuse(entry, 'one list of credentials for each registry')
    const list = readList(entry, 'a list of { "username", "password" }').map(readCredential)
    credentials.set(host, { setting: entry, list })
  }
  return credentials
}

function readCredential(setting: Setting, index: number): Credential {
  const members = readObject(setting, 'an object { "username", "password" }', [
    'username',
    'password',
  ])
  const named = readMember(members, 'username', setting)
  // RFC 7617 §2: a user-id that contains a colon is invalid.
  const username = readText(named, 'a user name')
  if (username.includes(':')) refuse(named, 'a user name without ":"')
  const password = readText(
    readMember(members, 'password', setting),
    'a password or an access token',
  )
  return { id: `${index}-${changeMark(`${username}\0${password}`)}`, username, password }
}

/**
 * FNV-1a, 32 bits: tells a rotated password from its predecessor, so that nothing learnt with the old
 * one is used for the new one. It reveals 32 bits of a hash, which no access token can be found by.
 */
function changeMark(text: string): string {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}

function readDefaultUpstream(
  setting: Setting,
  upstreams: ReadonlyMap<string, Upstream>,
): string | undefined {
  if (setting.value === undefined) return upstreams.has(DOCKER_HUB) ? DOCKER_HUB : undefined
  if (setting.value === '') return undefined
  const expected = `a host of UPSTREAMS (${[...upstreams.keys()].join(', ')}), or "" for none`
  const host = canonicalHost(readText(setting, expected))
  return upstreams.has(host) ? host : refuse(setting, expected)
}

function warningsOf(
  anonymous: AnonymousGrants,
  named: readonly NamedUpstream[],
): readonly string[] {
  if (anonymous === 'public') return []
  return anonymous.flatMap(({ actions, repositories }) => {
    const names = repositories.map(({ text }) => text).join(', ')
    const beyond = actions.filter((action) => action !== 'pull')
    const opened = named.filter(
      ({ upstream: { host }, hasPrivate }) =>
        hasPrivate && repositories.some((pattern) => reaches(pattern, host)),
    )
    return [
      ...(beyond.length > 0 ? [`ANONYMOUS lets anyone ${beyond.join(' and ')} ${names}`] : []),
      ...(actions.includes('pull') ? opened : []).map(
        ({ upstream: { host } }) =>
          `ANONYMOUS lets anyone pull ${names}, which may hold private repositories of ${host}`,
      ),
    ]
  })
}

/** Whether a pattern over canonical names can match one of the host. */
function reaches({ text }: Pattern, host: string): boolean {
  return parsePattern(text.split('/')[0] ?? '')?.matches(host) ?? false
}
