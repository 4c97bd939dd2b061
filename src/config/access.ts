// Who may do what, as the configuration says it: the grants of callers without an account, the accounts that
// are there from the start, and the issuers whose tokens log in.

import { ACTIONS, isSecretHash, parseAccountName, parseGrants } from '../auth/account.ts'
import type { Account, Action, GrantText } from '../auth/account.ts'
import { findOpenIssuer, presetIssuer } from '../auth/oidc-preset.ts'
import type { OIDCIssuer } from '../auth/oidc.ts'
import type { AnonymousGrants } from '../auth/policy.ts'
import { isLoopbackHost } from '../oci/host.ts'
import {
  isEmpty,
  readList,
  readMember,
  readObject,
  readPattern,
  readText,
  refuse,
} from './setting.ts'
import type { Setting } from './setting.ts'

/** The version of every account that the configuration holds: its tokens end when the hash changes. */
const CONFIGURED = 'configured'

/** Reads `ANONYMOUS`. */
export function readAnonymous(setting: Setting): AnonymousGrants {
  return setting.value === undefined ? 'public' : parseGrants(readGrants(setting))
}

/** Reads `ACCOUNTS`. */
export function readAccounts(setting: Setting): readonly Account[] {
  if (isEmpty(setting)) return []
  const seen = new Set<string>()
  return readList(setting, 'a list of { name, secretHash, grants }').map((entry) => {
    const account = readAccount(entry)
    if (seen.has(account.name)) refuse(entry, 'each account once')
    seen.add(account.name)
    return account
  })
}

/** Reads `OIDC_ISSUERS`. */
export function readIssuers(setting: Setting): readonly OIDCIssuer[] {
  if (isEmpty(setting)) return []
  return readList(setting, 'a list of { issuer, audience, claims, grants }').map(readIssuer)
}

/** Reads `PUBLIC_URL`: the address by which clients reach the registry, where its requests do not show it. */
export function readPublicURL(setting: Setting): URL | undefined {
  if (isEmpty(setting)) return undefined
  const expected = 'an https URL without a path, e.g. "https://registry.example.com"'
  const url = URL.parse(readText(setting, expected))
  const isSecure = url?.protocol === 'https:' || (url !== null && isLoopbackHost(url.hostname))
  if (url === null || !isSecure || url.href !== `${url.origin}/`) return refuse(setting, expected)
  return url
}

function readAccount(setting: Setting): Account {
  const members = readObject(setting, 'an object { name, secretHash, grants }', [
    'name',
    'secretHash',
    'grants',
  ])
  const named = readMember(members, 'name', setting)
  const form = 'a name of lower-case words joined by ".", "_" or "-"'
  const name = parseAccountName(readText(named, form)) ?? refuse(named, form)
  const hashed = readMember(members, 'secretHash', setting)
  const hex = 'the SHA-256 of a secret in hex, as `npm run account` prints it'
  const secretHash = readText(hashed, hex)
  if (!isSecretHash(secretHash)) refuse(hashed, hex)
  const grants = readGrants(readMember(members, 'grants', setting))
  // A new secret ends the tokens of the old one.
  const version = `${CONFIGURED}-${secretHash.slice(0, 16)}`
  return { name, kind: 'account', secretHash, grants, version, createdAt: 0 }
}

function readGrants(setting: Setting): readonly GrantText[] {
  return readList(setting, 'a list of { repositories, actions }').map(readGrant)
}

function readGrant(setting: Setting): GrantText {
  const expected = 'an object { repositories, actions }'
  const members = readObject(setting, expected, ['repositories', 'actions'])
  const repositories = readMember(members, 'repositories', setting)
  const actions = readMember(members, 'actions', setting)
  const choice = `a list of ${ACTIONS.join(', ')}`
  return {
    repositories: readList(repositories, 'a list of repository patterns').map(
      (each) => readPattern(each).text,
    ),
    actions: readList(actions, choice).map(
      (each): Action => ACTIONS.find((action) => action === each.value) ?? refuse(each, choice),
    ),
  }
}

function readIssuer(setting: Setting): OIDCIssuer {
  const members = readObject(setting, 'an object { issuer, audience, claims, grants }', [
    'issuer',
    'audience',
    'claims',
    'grants',
  ])
  const from = readMember(members, 'issuer', setting)
  const expected = 'an https URL, "github" or "gitlab"'
  const named = readText(from, expected)
  const issuer = presetIssuer(named) ?? named
  const url = URL.parse(issuer)
  if (url === null || (url.protocol !== 'https:' && !isLoopbackHost(url.hostname))) {
    refuse(from, expected)
  }
  const read = {
    issuer,
    audience: readText(readMember(members, 'audience', setting), 'the audience of the tokens'),
    claims: readClaims(readMember(members, 'claims', setting)),
    grants: readGrants(readMember(members, 'grants', setting)),
  }
  const open = findOpenIssuer(read)
  return open === undefined ? read : refuse(readMember(members, 'claims', setting), open)
}

function readClaims(setting: Setting): Readonly<Record<string, string | readonly string[]>> {
  const expected = 'an object of claims, each a pattern or a list of patterns'
  const claims = [...readObject(setting, expected)].map(([claim, entry]) => {
    const isList = Array.isArray(entry.value)
    const patterns = isList
      ? readList(entry, expected).map((each) => readText(each, 'a pattern'))
      : readText(entry, 'a pattern')
    return [claim, patterns] as const
  })
  return Object.fromEntries(claims)
}
