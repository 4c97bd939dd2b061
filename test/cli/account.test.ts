// `entrepot account` against a registry that runs: what it does, what it prints, and what it says when it
// cannot.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { hashSecret } from '../../src/auth/account.ts'
import { parseConfig } from '../../src/config.ts'

const ENTREPOT = join(import.meta.dirname, '..', '..', 'cli', 'entrepot.ts')
const SECRET = /^[a-z2-7]{52}$/m
const TAGS = '/v2/hosted/app/tags/list'

let folder: string
let state: string
let registry: ChildProcess
let url: string
/** All that the registry has printed. */
let printed = ''
/** All secrets that were made. */
const secrets: string[] = []

interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-account-'))
  state = join(folder, 'state')
  const args = ['--port', '0', '--persist-to', state, '--var', 'HOSTED:["hosted/**"]']
  registry = spawn(process.execPath, [ENTREPOT, 'serve', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  url = await new Promise((resolve, reject) => {
    registry.once('exit', () => reject(new Error(printed)))
    registry.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
      const address = /listens on (\S+)/.exec(printed)?.[1]
      if (address !== undefined && printed.includes('Try: ')) resolve(address)
    })
  })
  secrets.push((await readFile(join(state, 'administrator'), 'utf8')).trim())
})

afterAll(async () => {
  registry.kill('SIGTERM')
  await once(registry, 'close')
  await rm(folder, { recursive: true, force: true })
  expect(secrets.length).toBeGreaterThan(3)
  expect(printed).toContain('"caller":"administrator"')
  for (const secret of secrets) expect(printed).not.toContain(secret)
})

/** Runs the command as it is. */
async function run(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const { ENTREPOT_SECRET: _, ...others } = process.env
  const child = spawn(process.execPath, [ENTREPOT, 'account', ...args], {
    cwd: folder,
    env: { ...others, ...environment },
  })
  const out = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      out[name] += chunk.toString()
    })
  }
  const [code] = (await once(child, 'close')) as [number | null]
  const secret = SECRET.exec(out.stdout)?.[0]
  if (secret !== undefined) secrets.push(secret)
  return { code, ...out }
}

/** Runs it in the name of the registry's own administrator; what it printed. */
async function account(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run([...args, '--url', url, '--persist-to', state])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stdout
}

function secretIn(text: string): string {
  return SECRET.exec(text)?.[0] ?? expect.fail(text)
}

async function statusWith(name: string, secret: string): Promise<number> {
  const authorization = `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`
  return (await fetch(new URL(TAGS, url), { headers: { authorization } })).status
}

describe('entrepot account', () => {
  it('makes an account, gives it a new secret and revokes it', async () => {
    const first = secretIn(await account('add', 'ci', '--grant', 'hosted/**=pull,push'))
    expect(await statusWith('ci', first)).toBe(404)
    const second = secretIn(await account('rotate', 'ci'))
    expect(await statusWith('ci', first)).toBe(401)
    expect(await statusWith('ci', second)).toBe(404)
    expect(await account('revoke', 'ci')).toMatch(/^ci is revoked/)
    expect(await statusWith('ci', second)).toBe(401)
  })

  it('prints the three paths of a capability, which lead here', async () => {
    const grants = ['--grant', 'docker.io/**,hosted/**=pull', '--grant', 'ghcr.io/**=read']
    const text = await account('add', 'edge', '--capability', ...grants)
    const [secret = ''] = /[a-z2-7]{52}/.exec(text) ?? []
    secrets.push(secret)
    const { host } = new URL(url)
    expect(text.match(/\S+\/t\/\S+/g)).toEqual([
      `${url}/t/${secret}`,
      `${url}/t/${secret}/<upstream>`,
      `${host}/t/${secret}/<upstream>`,
    ])
    for (const path of ['/v2/', '/docker.io/v2/']) {
      expect((await fetch(`${url}/t/${secret}${path}`)).status).toBe(200)
    }
  })

  it('prints JSON for programs', async () => {
    const made = JSON.parse(await account('add', 'robot', '--grant', '**=pull', '--json'))
    secrets.push(made.secret)
    expect(made).toMatchObject({ name: 'robot', kind: 'account' })
    expect(await statusWith('robot', made.secret)).toBe(404)
    const { accounts } = JSON.parse(await account('list', '--json'))
    expect(accounts).toContainEqual(
      expect.objectContaining({
        name: 'robot',
        grants: [{ repositories: ['**'], actions: ['pull'] }],
      }),
    )
  })

  it('lists accounts and changes, with names and grants', async () => {
    await account('add', 'listed', '--grant', 'hosted/a,hosted/b/**=push,delete')
    const listed = await account('list')
    expect(listed).toMatch(/^name +kind +made +grants\n/)
    expect(listed).toMatch(/^administrator +account +ACCOUNTS +\*\*=admin$/m)
    expect(listed).toMatch(/^listed +account +\d{4}\S+Z +hosted\/a,hosted\/b\/\*\*=push,delete$/m)
    expect(await account('audit')).toMatch(/^at .*\n\S+ +administrator +add +listed\n/)
  })

  it('asks in the name of whoever the environment says, where nobody of here is meant', async () => {
    const made = secretIn(await account('add', 'owner', '--grant', '**=admin'))
    const elsewhere = ['list', '--url', url, '--persist-to', join(folder, 'none')]
    const environment = { ENTREPOT_SECRET: `owner:${made}` }
    expect(await run(elsewhere, environment)).toMatchObject({ code: 0, stderr: '' })
  })

  it('makes the value of ACCOUNTS for a first administrator, and asks nobody', async () => {
    const { code, stdout } = await run(['bootstrap', 'root', '--url', 'https://nowhere.invalid'])
    expect(code).toBe(0)
    const value = /^\[.*\]$/m.exec(stdout)?.[0]
    const { accounts } = parseConfig({ ACCOUNTS: value })
    expect(accounts).toMatchObject([
      { name: 'root', grants: [{ repositories: ['**'], actions: ['admin'] }] },
    ])
    expect(accounts[0]?.secretHash).toBe(await hashSecret(secretIn(stdout)))
  })
})

describe('entrepot account fails with one line', () => {
  const here = (): string[] => ['--url', url, '--persist-to', state]

  it.each([
    {
      name: 'an account that there is',
      args: () => ['add', 'administrator', '--grant', '**=pull', ...here()],
      want: /^name: there is an account administrator already\n$/,
    },
    {
      name: 'an account that there is not',
      args: () => ['rotate', 'nobody', ...here()],
      want: /^there is no account nobody\n$/,
    },
    {
      name: 'an account of the configuration',
      args: () => ['revoke', 'administrator', ...here()],
      want: /^name: administrator stands in ACCOUNTS and can only be changed there\n$/,
    },
    {
      name: 'a registry that does not run',
      args: () => ['list', '--url', 'http://127.0.0.1:1', '--persist-to', state],
      want: /^no registry answers on http:\/\/127\.0\.0\.1:1 \(.+\): is it running, .*\n$/,
    },
    {
      name: 'a folder without an administrator',
      args: () => ['list', '--url', url, '--persist-to', 'none'],
      want: /^none has no administrator: .* ENTREPOT_SECRET=<name>:<secret> of an administrator\n$/,
    },
    {
      name: 'a registry elsewhere and nobody to ask as',
      args: () => ['list', '--url', 'https://registry.invalid'],
      want: /^https:\/\/registry\.invalid is not on this machine: set ENTREPOT_SECRET=.*\n$/,
    },
    {
      name: 'a wrong secret',
      args: () => ['list', '--url', url, '--persist-to', 'none'],
      secret: 'administrator:canary-secret',
      want: /^http:\S+ does not take administrator for an administrator: .*\n$/,
    },
  ])('at $name', async ({ args, secret, want }) => {
    const { code, stdout, stderr } = await run(args(), {
      ...(secret !== undefined && { ENTREPOT_SECRET: secret }),
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(want)
    expect(stderr).not.toContain('canary-secret')
  })

  it('at what is no registry, to which a redirect does not carry the secret', async () => {
    const asked: (string | undefined)[] = []
    const other = createServer(({ url: path }, response) => {
      asked.push(path)
      response.writeHead(307, { location: '/elsewhere' }).end('<html>')
    })
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    const args = ['list', '--url', `http://127.0.0.1:${port}`, '--persist-to', state]
    const { code, stderr } = await run(args)
    other.closeAllConnections()
    other.close()
    expect({ code, stderr, asked }).toEqual({
      code: 1,
      stderr: `http://127.0.0.1:${port} is no registry of this kind (status 307)\n`,
      asked: ['/_/api/accounts'],
    })
  })
})

describe('a variable that means nothing', () => {
  it.each([
    { secret: 'canary-secret', found: 'no ":" in it' },
    { secret: ':canary-secret', found: 'no name in it' },
  ])('$found is told without the secret', async ({ secret, found }) => {
    const args = ['list', '--url', 'https://registry.invalid']
    expect(await run(args, { ENTREPOT_SECRET: secret })).toEqual({
      code: 2,
      stdout: '',
      stderr: `expected ENTREPOT_SECRET=<name>:<secret>, found ${found}\n`,
    })
  })
})

describe('at what answers something else', () => {
  it.each([
    { args: ['add', 'ci', '--grant', 'hosted/**=pull'] },
    { args: ['rotate', 'ci'] },
    { args: ['list'] },
    { args: ['audit'] },
  ])('$args says so, and shows no secret that is none', async ({ args }) => {
    const other = createServer((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"name":"ci"}')
    })
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    const at = `http://127.0.0.1:${port}`
    const { code, stdout, stderr } = await run([...args, '--url', at, '--persist-to', state])
    other.closeAllConnections()
    other.close()
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: '',
      stderr: `${at} gave an answer that no registry of this kind gives\n`,
    })
  })
})
