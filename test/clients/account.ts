// Accounts of the registry under test: those that its configuration holds, and those that its administrator makes
// while it runs.

import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecret, type GrantText, hashSecret } from '../../src/auth/account.ts'
import type { Workspace } from './process.ts'

/** A name and its secret, also in a file, from which programs read it. */
export interface Login {
  readonly name: string
  readonly secret: string
  readonly file: string
}

/** A login with that secret, or a new one. */
export async function makeLogin(
  workspace: Workspace,
  name: string,
  secret = createSecret(),
): Promise<Login> {
  const file = join(workspace.folder, `secret-${randomUUID()}`)
  await writeFile(file, secret)
  return { name, secret, file }
}

/** The login's entry in `ACCOUNTS`, which has its hash only. */
export async function configured(
  { name, secret }: Login,
  grants: readonly GrantText[],
): Promise<object> {
  return { name, secretHash: await hashSecret(secret), grants }
}

/** The value of an `Authorization` header. */
export function basicOf({ name, secret }: Pick<Login, 'name' | 'secret'>): string {
  return `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`
}

/** `/_/api/accounts`, in the name of an administrator. */
export class Accounts {
  /** Every login that was made here. */
  readonly made: Login[] = []
  readonly #workspace: Workspace
  readonly #url: string
  readonly #administrator: Login

  constructor(workspace: Workspace, url: string, administrator: Login) {
    this.#workspace = workspace
    this.#url = url
    this.#administrator = administrator
  }

  async add(
    kind: 'account' | 'capability',
    name: string,
    grants: readonly GrantText[],
  ): Promise<Login> {
    return this.#keep(name, await this.#ask('POST', 'accounts', { name, kind, grants }))
  }

  async rotate(name: string): Promise<Login> {
    return this.#keep(name, await this.#ask('POST', `accounts/${name}/rotate`))
  }

  async revoke(name: string): Promise<void> {
    await this.#ask('DELETE', `accounts/${name}`)
  }

  async #keep(name: string, answer: string): Promise<Login> {
    const login = await makeLogin(this.#workspace, name, String(JSON.parse(answer).secret))
    this.made.push(login)
    return login
  }

  async #ask(method: string, path: string, body?: object): Promise<string> {
    const response = await fetch(`${this.#url}/_/api/${path}`, {
      method,
      headers: {
        Authorization: basicOf(this.#administrator),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text
  }
}
