// Looks for secrets wherever one could have gone: answers, logs, and everything that the registry keeps on disk.

import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectEqual } from './client.ts'
import type { Workspace } from './process.ts'
import type { RecordedRequest } from './recorder.ts'

/** The answers to these requests hold the secret that they made, or the token that they are for. */
const GIVING = /^\/(token|_\/api\/accounts(\/[a-z0-9._-]+\/rotate)?)$/

/** A secret and where else than in its own answer it was found. */
interface Find {
  readonly where: string
  readonly needle: string
}

/** What a secret of an account can look like: itself, most of it, as a password, and as it is stored. */
export function formsOf({ name, secret }: { readonly name: string; readonly secret: string }): {
  readonly plain: readonly string[]
  readonly hashed: string
} {
  const basic = Buffer.from(`${name}:${secret}`).toString('base64').replaceAll('=', '')
  return {
    // A path that was cut or encoded at either end would still hold this.
    plain: [secret.slice(2, -2), basic],
    hashed: createHash('sha256').update(secret).digest('hex'),
  }
}

/** The tokens that recorded answers have given. */
export function tokensOf(requests: readonly RecordedRequest[]): readonly string[] {
  const found = requests
    .filter(({ path, status }) => path === '/token' && status === 200)
    .flatMap(({ body }) => {
      const { token, refresh_token: refresh } = JSON.parse(body())
      return refresh === undefined ? [String(token)] : [String(token), String(refresh)]
    })
  return [...new Set(found)]
}

/** What is in presigned URLs and in nothing else. */
export const PRESIGNED = 'X-Amz-'

/** The redirects among the answers. */
export function redirectsOf(requests: readonly RecordedRequest[]): readonly RecordedRequest[] {
  return requests.filter(({ status }) => status === 307)
}

/** The access key and the signatures by which redirects let clients read. */
export function signaturesOf(requests: readonly RecordedRequest[]): readonly string[] {
  const found = redirectsOf(requests).flatMap(({ headers }) => [
    ...(/X-Amz-Credential=([0-9A-Za-z-]+)/.exec(headers)?.slice(1) ?? []),
    ...(/X-Amz-Signature=([0-9a-f]{64})/.exec(headers)?.slice(1) ?? []),
  ])
  return [...new Set(found)]
}

/** What a token says of itself. */
export function readToken(token: string): string {
  return token
    .split('.')
    .slice(0, 2)
    .map((part) => Buffer.from(part, 'base64url').toString())
    .join(' ')
}

/** Where recorded answers hold a needle. In an answer that is for giving a secret, there may be one, once. */
export function findInAnswers(
  requests: readonly RecordedRequest[],
  needles: readonly string[],
): readonly Find[] {
  return requests.flatMap(({ method, path, status, headers, body }) => {
    const where = `${method} ${path}: ${status}`
    const isGiving = GIVING.test(path) && status < 300
    const text = isGiving ? headers : `${headers}\n${body()}`
    return needles.filter((each) => text.includes(each)).map((needle) => ({ where, needle }))
  })
}

/** Which lines hold a needle. */
export function findInLines(lines: readonly string[], needles: readonly string[]): readonly Find[] {
  return lines.flatMap((where) =>
    needles.filter((needle) => where.includes(needle)).map((needle) => ({ where, needle })),
  )
}

/** The files below a folder that hold one of the needles. */
export async function filesWith(
  workspace: Workspace,
  folder: string,
  needles: readonly string[],
): Promise<readonly string[]> {
  const patterns = join(workspace.folder, 'needles')
  await writeFile(patterns, needles.join('\n'))
  const args = ['--recursive', '--files-with-matches', '--text', '--fixed-strings']
  const flags = ['--exclude=administrator', `--file=${patterns}`, folder]
  // `grep` ends with 1 where nothing was found.
  const script = 'grep "$@" || test $? -eq 1'
  const command = { command: 'sh', args: ['-c', script, 'sh', ...args, ...flags] }
  const { stdout } = await workspace.run({ ...command, env: { LC_ALL: 'C' } })
  return stdout.split('\n').filter((line) => line !== '')
}

/** Fails with what was found. */
export function expectNone(what: string, found: readonly (Find | string)[]): void {
  expectEqual(what, found.slice(0, 5), [])
}
