// The administrator that every local registry has: a secret in a file that its owner alone can read, made at
// the first start, and its hash among the accounts of each run.

import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { Json } from 'miniflare'

import { createSecret, hashSecret, isSecretForm } from '../src/auth/account.ts'
import { isEmpty, settingOf } from '../src/config/setting.ts'
import { Failure } from './failure.ts'

/** The name of the local administrator. */
export const ADMINISTRATOR = 'administrator'

/** What an administrator may do, which is no pull and no push. */
export const ADMINISTRATION = { repositories: ['**'], actions: ['admin'] } as const

/** A file that should hold a secret and does not. */
export class AdministratorError extends Failure {
  override readonly name = 'AdministratorError'
}

/** Where the secret of the administrator lies. */
export function administratorFile(persistTo: string): string {
  return join(persistTo, ADMINISTRATOR)
}

/**
 * `ACCOUNTS` with the local administrator, whose secret is made if there is none yet. Undefined where
 * `ACCOUNTS`, which must be valid, says itself who that is.
 * @throws {AdministratorError}
 */
export async function withAdministrator(
  accounts: Json | undefined,
  persistTo: string,
): Promise<string | undefined> {
  const setting = settingOf('ACCOUNTS', accounts, true)
  const given = isEmpty(setting) ? [] : (setting.value as readonly { readonly name: string }[])
  if (given.some(({ name }) => name === ADMINISTRATOR)) return undefined
  const secretHash = await hashSecret(await keepSecret(persistTo))
  return JSON.stringify([...given, { name: ADMINISTRATOR, secretHash, grants: [ADMINISTRATION] }])
}

/**
 * The secret of the administrator, if the folder has one.
 * @throws {AdministratorError}
 */
export async function readAdministrator(persistTo: string): Promise<string | undefined> {
  const file = administratorFile(persistTo)
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw new AdministratorError(`cannot read ${file}: ${String(error)}`, { cause: error })
  })
  if (text === undefined) return undefined
  const secret = text.trim()
  if (isSecretForm(secret)) return secret
  throw new AdministratorError(`${file} holds no secret: remove it, and the next start makes one`)
}

async function keepSecret(persistTo: string): Promise<string> {
  try {
    return (await readAdministrator(persistTo)) ?? (await makeSecret(persistTo))
  } catch (error) {
    if (error instanceof AdministratorError) throw error
    const file = administratorFile(persistTo)
    throw new AdministratorError(`cannot make ${file}: ${String(error)}`, { cause: error })
  }
}

/** The file is there with all of its content or not at all; of two who make it at once, both get the first one's. */
async function makeSecret(persistTo: string): Promise<string> {
  const file = administratorFile(persistTo)
  const draft = `${file}.${process.pid}.${crypto.randomUUID()}`
  await mkdir(persistTo, { recursive: true })
  try {
    const handle = await open(draft, 'wx', 0o600)
    try {
      await handle.writeFile(`${createSecret()}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await link(draft, file).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error
    })
  } finally {
    await rm(draft, { force: true })
  }
  const secret = await readAdministrator(persistTo)
  if (secret === undefined) throw new AdministratorError(`${file} has gone as soon as it was made`)
  return secret
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
