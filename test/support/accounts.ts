// Accounts and capabilities of a test's registry, and how a client shows who it is.

import { env } from 'cloudflare:workers'
import { expect } from 'vitest'
import { hashSecret } from '../../src/auth/account.ts'
import type { Action, GrantText } from '../../src/auth/account.ts'
import type { Isolate } from './isolate.ts'

/** A grant as settings write it. */
export function granting(repositories: string, ...actions: readonly Action[]): GrantText {
  return { repositories: [repositories], actions }
}

/** The secret of an account in `ACCOUNTS`; no log and no answer may hold it. */
export function secretOf(name: string): string {
  return `canary-secret-of-${name}`
}

/** `ACCOUNTS` with these accounts and grants. */
export async function accounts(
  grants: Readonly<Record<string, readonly GrantText[]>>,
): Promise<{ readonly ACCOUNTS: string }> {
  const list = Object.entries(grants).map(async ([name, each]) => {
    return { name, secretHash: await hashSecret(secretOf(name)), grants: each }
  })
  return { ACCOUNTS: JSON.stringify(await Promise.all(list)) }
}

/** The `Authorization` of an account. */
export function basic(name: string, secret = secretOf(name)): string {
  return `Basic ${btoa(`${name}:${secret}`)}`
}

/** The object that keeps what is no setting. */
export function authority() {
  return env.AUTHORITY.getByName('authority')
}

/** Makes an account or a capability; its secret. */
export async function add(
  kind: 'account' | 'capability',
  name: string,
  ...grants: readonly GrantText[]
): Promise<string> {
  const added = await authority().add({ name, kind, grants }, 'a test')
  return added.ok ? added.secret : expect.fail(`${name} exists`)
}

/** What the token endpoint answers. */
export interface TokenAnswer {
  readonly token: string
  readonly access_token: string
  readonly expires_in: number
  readonly issued_at: string
  readonly scope: string
  readonly refresh_token?: string
}

/** The `Authorization` with a token for these scopes, as nobody or as whoever the other one says. */
export async function bearer(
  { get }: Isolate,
  scopes: readonly string[],
  authorization?: string,
): Promise<string> {
  const query = new URLSearchParams(scopes.map((scope) => ['scope', scope]))
  const answer = await get(
    `/token?${query.toString()}`,
    authorization === undefined ? {} : { authorization },
  )
  expect(answer.status).toBe(200)
  const { token }: TokenAnswer = await answer.json()
  return `Bearer ${token}`
}

/** The claims of a token. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> {
  const [, payload = ''] = token.split('.')
  return JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
}
