// Accounts as they are kept: a name, the hash of a secret that was made here, and grants as text. Whether
// a secret is the right one is found out here; what its owner may do is policy.ts's question.

import { isJSONObject } from '../oci/json-object.ts'
import type { Pattern } from '../oci/pattern.ts'
import { parsePattern } from '../oci/pattern.ts'

/** Every action that a grant can name, for whoever parses one. */
export const ACTIONS = ['pull', 'read', 'push', 'create', 'delete', 'admin'] as const

/** What a grant can be for. */
export type Action = (typeof ACTIONS)[number]

/** A right to some actions on every repository whose canonical name one of the patterns matches. */
export interface Grant {
  readonly repositories: readonly Pattern[]
  readonly actions: readonly Action[]
}

/** A grant as it is stored, sent and put into tokens. */
export interface GrantText {
  readonly repositories: readonly string[]
  readonly actions: readonly Action[]
}

/** Who is known here. Only an `account` logs in; a `capability` is a path that may be read. */
export interface Account {
  readonly name: string
  readonly kind: 'account' | 'capability'
  readonly secretHash: string
  readonly grants: readonly GrantText[]
  /** Random, new with every secret: tokens name it, so that they end with the secret they were given for. */
  readonly version: string
  /** Milliseconds. */
  readonly createdAt: number
}

/** What a capability can be for: a path ends up in configuration files, so it gives nothing but bytes. */
const CAPABILITY_ACTIONS: readonly Action[] = ['pull', 'read']

/* RFC 4648 §6, in lower case: a secret is also a path component. */
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'
const SECRET = /^[a-z2-7]{52}$/
const HASH = /^[0-9a-f]{64}$/
const NAME = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/
const MAX_NAME = 64
/** No secret hashes to it. Who is unknown is compared with it, so that this takes as long as a wrong secret. */
const NOBODY = '0'.repeat(64)

/** Makes a secret of 256 bits. */
export function createSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32))
  let text = ''
  let bits = 0
  let value = 0
  for (const byte of bytes) {
    value = (value << 8) | byte
    bits += 8
    for (; bits >= 5; bits -= 5) text += ALPHABET[(value >>> (bits - 5)) & 31]
    value &= (1 << bits) - 1
  }
  return text + ALPHABET[(value << (5 - bits)) & 31]
}

/** The SHA-256 of a secret in hex. One round is enough: a secret has 256 bits, so there is nothing to guess. */
export async function hashSecret(secret: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(secret))
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/**
 * Whether the hash is that of the secret, in a time that depends on neither. The empty secret is none, also
 * where somebody has configured its hash.
 */
export async function isSecret(secret: string, hash: string): Promise<boolean> {
  const isEqual = isEqualHash(await hashSecret(secret), hash)
  return isEqual && secret !== ''
}

/** Whether a text looks like a secret that was made here. */
export function isSecretForm(text: string): boolean {
  return SECRET.test(text)
}

/** Whether a text looks like the hash of a secret. */
export function isSecretHash(text: string): boolean {
  return HASH.test(text)
}

/** Parses the name of an account: lower-case words joined by single `.`, `_` or `-`, at most 64 characters. */
export function parseAccountName(text: string): string | undefined {
  return text.length <= MAX_NAME && NAME.test(text) ? text : undefined
}

/** Parses a grant out of JSON: patterns and known actions, at least one of each, and nothing else. */
export function parseGrantText(value: unknown): GrantText | undefined {
  if (!isJSONObject(value)) return undefined
  const { repositories, actions, ...others } = value
  if (!isList(repositories, isPattern) || !isList(actions, isAction)) return undefined
  return Object.keys(others).length === 0 ? { repositories, actions } : undefined
}

/** The grants with their patterns parsed. What does not parse grants nothing. */
export function parseGrants(texts: readonly GrantText[]): readonly Grant[] {
  return texts.map(({ repositories, actions }) => ({
    repositories: repositories.flatMap((text) => parsePattern(text) ?? []),
    actions,
  }))
}

/** Whether an account of the kind may have the grants. */
export function mayHold(kind: Account['kind'], grants: readonly GrantText[]): boolean {
  if (!grants.every((grant) => parseGrantText(grant) !== undefined)) return false
  return (
    kind === 'account' ||
    grants.every(({ actions }) => actions.every((action) => CAPABILITY_ACTIONS.includes(action)))
  )
}

/** The account that name and secret log in to. Takes one hash whether or not there is such a name. */
export async function authenticate(
  accounts: readonly Account[],
  name: string,
  secret: string,
): Promise<Account | undefined> {
  const account = accounts.find((each) => each.kind === 'account' && each.name === name)
  const isRight = await isSecret(secret, account?.secretHash ?? NOBODY)
  return isRight ? account : undefined
}

/** The capability that a path component is the secret of. */
export async function findCapability(
  accounts: readonly Account[],
  secret: string,
): Promise<Account | undefined> {
  if (!isSecretForm(secret)) return undefined
  const hash = await hashSecret(secret)
  return accounts.find((each) => each.kind === 'capability' && isEqualHash(hash, each.secretHash))
}

/** Looks at every character of the first, whatever it finds. */
function isEqualHash(hash: string, other: string): boolean {
  let difference = hash.length ^ other.length
  for (let index = 0; index < hash.length; index++) {
    difference |= hash.charCodeAt(index) ^ other.charCodeAt(index)
  }
  return difference === 0
}

function isList<T>(value: unknown, isItem: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.length > 0 && value.every(isItem)
}

function isPattern(value: unknown): value is string {
  return typeof value === 'string' && parsePattern(value) !== undefined
}

function isAction(value: unknown): value is Action {
  return ACTIONS.some((action) => action === value)
}
