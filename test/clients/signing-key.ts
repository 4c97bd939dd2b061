// The key that a registry signs its tokens with, read from where it keeps it on disk: no request gives it away.

import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { deserialize } from 'node:v8'
import type { SigningKey } from '../../src/auth/token.ts'
import type { Workspace } from './process.ts'
import type { Registry } from './registry.ts'

const OBJECT = join('do', 'entrepot-Authority')

/** The key of a registry that has given a token before; it may be running. */
export async function readSigningKey(
  workspace: Workspace,
  { folder, name }: Registry,
): Promise<SigningKey> {
  const copy = await workspace.folderOf(`authority-${name}`)
  await cp(join(folder, OBJECT), copy, { recursive: true })
  for (const file of await readdir(copy)) {
    if (!/^[0-9a-f]+\.sqlite$/.test(file)) continue
    const database = new DatabaseSync(join(copy, file))
    const row = database.prepare(`SELECT value FROM _cf_KV WHERE key = 'current-key'`).get()
    database.close()
    if (row?.['value'] instanceof Uint8Array) return deserialize(row['value'])
  }
  throw new Error(`no key in ${copy}`)
}
