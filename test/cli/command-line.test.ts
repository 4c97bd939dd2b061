// The whole command line as a table: arguments, and what happens. A few rows are programs, as they are run.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { accountCommand } from '../../cli/account-arguments.ts'
import { demoCommand } from '../../cli/demo-arguments.ts'
import { doctorCommand } from '../../cli/doctor-arguments.ts'
import { Failure } from '../../cli/failure.ts'
import type { Enlist, Run } from '../../cli/program.ts'
import { runProgram } from '../../cli/program.ts'
import type { Registry } from '../../cli/serve.ts'
import { serve } from '../../cli/serve.ts'
import { serveCommand } from '../../cli/serve-arguments.ts'
import { createSecret, hashSecret } from '../../src/auth/account.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const ENTREPOT = join(ROOT, 'cli', 'entrepot.ts')
const { version: VERSION, scripts: SCRIPTS } = JSON.parse(
  readFileSync(join(ROOT, 'package.json'), 'utf8'),
)

/** What came of a command line: what was printed, what was complained of, and which command was run with what. */
interface Outcome {
  readonly code: number
  readonly printed: string
  readonly complaint: unknown
  readonly ran: readonly (readonly [name: string, args: unknown])[]
}

/** The program, whose commands do what `does` does. */
async function program(
  args: readonly string[],
  does: Run<unknown> = async () => 0,
): Promise<Outcome> {
  const ran: [string, unknown][] = []
  const told: { printed: string; complaint: unknown } = { printed: '', complaint: undefined }
  const note =
    (name: string): Run<unknown> =>
    (given) => {
      ran.push([name, given])
      return does(given)
    }
  const commands: readonly Enlist[] = [
    serveCommand(note('serve')),
    demoCommand(note('demo')),
    accountCommand(note('account')),
    doctorCommand(note('doctor')),
  ]
  const code = await runProgram(args, commands, {
    print: (text) => (told.printed += text),
    complain: (what) => (told.complaint = what),
  })
  return { code, ...told, ran }
}

const HERE = { url: new URL('http://127.0.0.1:5050'), persistTo: '.entrepot', isJSON: false }
const SERVE = { host: '127.0.0.1', port: 5050, persistTo: '.entrepot', vars: {}, isJSON: false }
const DOCTOR = { ...HERE, image: undefined, push: undefined, timeout: 30 }
const ELSEWHERE = 'https://registry.example.com'
const grant = (repositories: readonly string[], actions: readonly string[]) => ({
  repositories,
  actions,
})

describe('understood', () => {
  it.each([
    { line: 'serve', want: SERVE },
    {
      line: 'serve --host ::1 --port=0 --persist-to x --var A: --var B:c:d --json',
      want: {
        host: '::1',
        port: 0,
        persistTo: 'x',
        vars: { A: '', B: 'c:d' },
        isJSON: true,
      },
    },
    { line: 'demo', want: { isJSON: false } },
    { line: 'demo --json', want: { isJSON: true } },
    { line: 'account list', want: { ...HERE, action: { what: 'list' } } },
    { line: 'account audit --json', want: { ...HERE, action: { what: 'audit' }, isJSON: true } },
    {
      line: 'account --json list --url http://localhost:5051/',
      want: {
        ...HERE,
        action: { what: 'list' },
        url: new URL('http://localhost:5051'),
        isJSON: true,
      },
    },
    {
      // The secret of here goes nowhere else unasked.
      line: `account list --url ${ELSEWHERE}`,
      want: {
        ...HERE,
        action: { what: 'list' },
        url: new URL(ELSEWHERE),
        persistTo: undefined,
      },
    },
    {
      line: `account --url ${ELSEWHERE} --persist-to x list`,
      want: { ...HERE, action: { what: 'list' }, url: new URL(ELSEWHERE), persistTo: 'x' },
    },
    {
      line: 'account add ci --grant hosted/**=pull,push',
      want: {
        ...HERE,
        action: {
          what: 'add',
          account: {
            name: 'ci',
            kind: 'account',
            grants: [grant(['hosted/**'], ['pull', 'push'])],
          },
        },
      },
    },
    {
      line: 'account add --capability edge --grant docker.io/library/*,a/b=pull --grant a/**=read',
      want: {
        ...HERE,
        action: {
          what: 'add',
          account: {
            name: 'edge',
            kind: 'capability',
            grants: [grant(['docker.io/library/*', 'a/b'], ['pull']), grant(['a/**'], ['read'])],
          },
        },
      },
    },
    {
      line: 'account add all --grant a=pull,push,create,delete,read,admin',
      want: {
        ...HERE,
        action: {
          what: 'add',
          account: {
            name: 'all',
            kind: 'account',
            grants: [grant(['a'], ['pull', 'push', 'create', 'delete', 'read', 'admin'])],
          },
        },
      },
    },
    {
      line: 'account rotate ci',
      want: { ...HERE, action: { what: 'rotate', name: 'ci' } },
    },
    {
      line: 'account revoke ci',
      want: { ...HERE, action: { what: 'revoke', name: 'ci' } },
    },
    {
      line: 'account bootstrap root',
      want: {
        ...HERE,
        action: { what: 'bootstrap', name: 'root', grants: [grant(['**'], ['admin'])] },
      },
    },
    {
      line: 'account bootstrap ci --grant a=push',
      want: {
        ...HERE,
        action: { what: 'bootstrap', name: 'ci', grants: [grant(['a'], ['push'])] },
      },
    },
    { line: 'doctor', want: DOCTOR },
    { line: `doctor ${ELSEWHERE}`, want: { ...DOCTOR, url: new URL(ELSEWHERE) } },
    { line: `doctor --url ${ELSEWHERE}`, want: { ...DOCTOR, url: new URL(ELSEWHERE) } },
    {
      line: `doctor ${ELSEWHERE} --image registry.example.com/hosted/app:1 --push hosted/app --timeout 0.5 --persist-to x --json`,
      want: {
        url: new URL(ELSEWHERE),
        image: { repository: 'hosted/app', reference: { kind: 'tag', tag: '1' } },
        push: 'hosted/app',
        persistTo: 'x',
        timeout: 0.5,
        isJSON: true,
      },
    },
  ])('$line', async ({ line, want }) => {
    expect(await program(line.split(' '))).toEqual({
      code: 0,
      printed: '',
      complaint: undefined,
      ran: [[line.split(' ')[0], want]],
    })
  })
})

describe('not understood', () => {
  const address = 'expected the address of a registry, e.g. https://registry.example.com, found'

  it.each([
    { line: 'prefetch', want: `unknown command 'prefetch' (--help says more)` },
    { line: 'toString', want: `unknown command 'toString' (--help says more)` },
    { line: 'serv', want: `unknown command 'serv' (Did you mean serve?)` },
    { line: '--jsn', want: `unknown option '--jsn' (--help says more)` },
    { line: 'serve --prot 1', want: `unknown option '--prot' (Did you mean --port?)` },
    { line: 'serve --secret=canary', want: `unknown option '--secret=…' (--help says more)` },
    { line: 'serve --json=canary', want: `unknown option '--json=…' (--help says more)` },
    { line: 'serve --port', want: `option '--port <number>' argument missing (--help says more)` },
    {
      line: 'serve --port 70000',
      want: '--port: expected a number from 0 to 65535, found "70000"',
    },
    { line: 'serve --port -1', want: '--port: expected a number from 0 to 65535, found "-1"' },
    {
      line: 'serve 5050',
      want: `too many arguments for 'serve'. Expected 0 arguments but got 1: 5050. (--help says more)`,
    },
    {
      line: 'serve --host --port',
      want: '--host: expected a value, found the option "--port"',
    },
    {
      line: 'serve --persist-to --var=A:canary',
      want: '--persist-to: expected a value, found the option "--var=…"',
    },
    {
      line: 'serve --var REDIRECT=never',
      want: '--var: expected NAME:VALUE, found "REDIRECT=never"',
    },
    { line: 'serve --var password:canary', want: '--var: expected NAME:VALUE, found "password:…"' },
    {
      line: 'demo now',
      want: /^too many arguments for 'demo'\. Expected 0 arguments but got 1: now\./,
    },
    { line: 'account remove a', want: `unknown command 'remove' (Did you mean revoke?)` },
    { line: 'account toString', want: `unknown command 'toString' (--help says more)` },
    { line: 'account add', want: `missing required argument 'name' (--help says more)` },
    {
      line: 'account add CI --grant a=pull',
      want: 'add: expected the name of an account (lower-case words joined by ".", "_" or "-", 64 characters at most), found "CI"',
    },
    {
      line: 'account add ci',
      want: `add: expected at least one --grant pattern[,pattern…]=action[,action…], e.g. 'hosted/**=pull,push'`,
    },
    {
      line: 'account add ci --grant',
      want: `option '--grant <grant>' argument missing (--help says more)`,
    },
    {
      line: 'account add ci --capability --grant a=pull,push',
      want: '--grant: a capability can have no other actions than pull and read',
    },
    { line: 'account list ci', want: /^too many arguments for 'list'\. .* got 1: ci\./ },
    { line: 'account revoke a b', want: /^too many arguments for 'revoke'\. .* got 2: a, b\./ },
    { line: 'account list --grant a=pull', want: `unknown option '--grant' (--help says more)` },
    {
      line: 'account rotate ci --capability',
      want: `unknown option '--capability' (--help says more)`,
    },
    {
      line: 'account list --url registry.example.com',
      want: `--url: ${address} "registry.example.com"`,
    },
    {
      line: 'account list --url https://a:canary@b.example/x',
      want: `--url: ${address} "…@b.example/x"`,
    },
    {
      line: 'account list --url http://registry.example.com',
      want: '--url: expected https, since a secret is sent there (http on this machine only)',
    },
    {
      line: 'account list --persist-to --json',
      want: '--persist-to: expected a value, found the option "--json"',
    },
    { line: 'doctor registry.example.com', want: `url: ${address} "registry.example.com"` },
    { line: 'doctor https://a:canary@b.example', want: `url: ${address} "…@b.example"` },
    { line: 'doctor https://b.example/v2/', want: `url: ${address} "https://b.example/v2/"` },
    { line: 'doctor --url b.example', want: `--url: ${address} "b.example"` },
    {
      line: `doctor ${ELSEWHERE} --url ${ELSEWHERE}`,
      want: '--url: expected one address, found another beside it',
    },
    { line: 'doctor https://b.example c', want: /^too many arguments for 'doctor'\. Expected 1 / },
    { line: 'doctor https://b.example --fix', want: `unknown option '--fix' (--help says more)` },
    {
      line: 'doctor --image A:1',
      want: '--image: expected <repository>:<tag>, e.g. docker.io/library/alpine:latest, found "A:1"',
    },
    { line: 'doctor --push A', want: '--push: expected a repository, e.g. hosted/app, found "A"' },
    {
      line: 'doctor --timeout 0',
      want: '--timeout: expected a number of seconds, 3600 at most, found "0"',
    },
    {
      line: 'doctor --timeout soon',
      want: '--timeout: expected a number of seconds, 3600 at most, found "soon"',
    },
  ])('$line', async ({ line, want }) => {
    const { complaint, ...others } = await program(line.split(' '))
    expect(others).toEqual({ code: 2, printed: '', ran: [] })
    expect(complaint).toEqual(typeof want === 'string' ? want : expect.stringMatching(want))
    expect(complaint).not.toContain('canary')
  })

  it.each([
    {
      grant: '',
      want: /^--grant: expected pattern\[,pattern…\]=action\[,action…\], .*, found ""$/,
    },
    { grant: 'a', want: /found "a"$/ },
    { grant: '=pull', want: /found "=pull"$/ },
    { grant: 'a=', want: /found "a="$/ },
    { grant: 'a=pull=push', want: /found "a=pull=push"$/ },
    { grant: 'a=pull,', want: /^--grant: expected actions \(pull, .*, admin\), found ""$/ },
    { grant: 'a=write', want: /found "write"$/ },
    { grant: 'a,=pull', want: /^--grant: expected repository patterns .*, found ""$/ },
    { grant: 'Team/**=pull', want: /found "Team\/\*\*"$/ },
  ])('the grant "$grant"', async ({ grant: text, want }) => {
    const { code, complaint, ran } = await program(['account', 'add', 'ci', '--grant', text])
    expect({ code, ran }).toEqual({ code: 2, ran: [] })
    expect(complaint).toMatch(want)
  })

  it.each([
    { args: [], want: /^Usage: entrepot \[options\] \[command\]\n/ },
    { args: ['account'], want: /^Usage: entrepot account \[options\] \[command\]\n/ },
    { args: ['account', '--json'], want: /^Usage: entrepot account / },
  ])('$args: what there is, as a complaint', async ({ args, want }) => {
    const { complaint, ...others } = await program(args)
    expect(others).toEqual({ code: 2, printed: '', ran: [] })
    expect(complaint).toMatch(want)
  })
})

describe('help', () => {
  it.each([
    { line: '--help', usage: '[options] [command]', names: ['serve', 'demo', 'account', 'doctor'] },
    { line: 'help', usage: '[options] [command]', names: ['ENTREPOT_SECRET', '--version'] },
    {
      line: 'serve -h',
      usage: 'serve [options]',
      names: ['--host', '--port', '--persist-to', '--var', '--json', '5050', '.entrepot'],
    },
    { line: 'help demo', usage: 'demo [options]', names: ['--json'] },
    {
      line: 'account --help',
      usage: 'account [options] [command]',
      names: ['add', 'list', 'rotate', 'revoke', 'audit', 'bootstrap', 'ENTREPOT_SECRET'],
    },
    {
      line: 'account add --help',
      usage: 'account add [options] <name>',
      names: ['--grant', '--capability', '--url', '--persist-to', '--json', 'create, delete'],
    },
    {
      line: 'doctor --timeout soon --help',
      usage: 'doctor [options] [url]',
      names: ['--url', '--image', '--push', '--persist-to', '--timeout', '--json'],
    },
  ])('$line', async ({ line, usage, names }) => {
    const { printed, ...others } = await program(line.split(' '))
    expect(others).toEqual({ code: 0, complaint: undefined, ran: [] })
    expect(printed.startsWith(`Usage: entrepot ${usage}\n`)).toBe(true)
    for (const name of names) expect(printed).toContain(name)
  })

  it('of a command lists no option that it does not take', async () => {
    expect((await program(['account', 'add', '--help'])).printed).not.toContain('--version')
    expect(await program(['account', 'list', '--version'])).toMatchObject({ code: 0 })
  })
})

describe('the status', () => {
  it.each([
    { name: 'of the command', does: async () => 1, want: { code: 1, complaint: undefined } },
    {
      name: 'of a failure, which is a sentence',
      does: () => Promise.reject(new Failure('no registry answers')),
      want: { code: 1, complaint: 'no registry answers' },
    },
    {
      name: 'of what nobody expected, which is shown as it is',
      does: () => Promise.reject(new TypeError('a bug')),
      want: { code: 1, complaint: new TypeError('a bug') },
    },
  ])('$name', async ({ does, want }) => {
    expect(await program(['demo'], does)).toMatchObject(want)
  })
})

describe('as a program', () => {
  const secret = createSecret()
  let folder: string
  let registry: Registry

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'entrepot-command-line-'))
    const grants = [grant(['**'], ['admin'])]
    const accounts = [{ name: 'root', secretHash: await hashSecret(secret), grants }]
    registry = await serve({
      host: '127.0.0.1',
      port: 0,
      persistTo: join(folder, 'state'),
      vars: { ACCOUNTS: JSON.stringify(accounts) },
      secrets: false,
    })
  })

  afterAll(async () => {
    await registry.stop()
    await rm(folder, { recursive: true, force: true })
  })

  /** Runs it, with nothing but the registry of the test around it; a reader may go at once. */
  async function run(
    [command = '', ...args]: readonly string[],
    { cwd = folder, isRead = true, kill }: { cwd?: string; isRead?: boolean; kill?: string } = {},
  ) {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ENTREPOT_SECRET: `root:${secret}`, TMPDIR: folder },
    })
    const out = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        out[name] += chunk.toString()
        if (kill !== undefined && out[name].includes(kill)) child.kill('SIGINT')
      })
    }
    if (!isRead) child.stdout.destroy()
    const [code]: (number | null)[] = await once(child, 'close')
    return { code, ...out }
  }

  const node = (...args: readonly string[]) => [process.execPath, ENTREPOT, ...args]
  const there = () => ['--url', registry.url.origin]

  it('npx finds it in the project', async () => {
    const { code, stdout } = await run(['npx', '--offline', 'entrepot', '--version'], { cwd: ROOT })
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${VERSION}\n` })
  })

  it('asks in the name of the environment, and prints JSON', async () => {
    const { code, stdout, stderr } = await run(node('account', 'list', '--json', ...there()))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout).accounts).toContainEqual(
      expect.objectContaining({ name: 'root', configured: true }),
    )
  })

  it('prints nothing but JSON of a demo, and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await run(node('demo', '--json'))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const none = { base: 0, token: 0, manifest: 0, blob: 0 }
    expect(JSON.parse(stdout).pulls).toMatchObject([
      { step: 'cold', requests: { base: 1, token: 1, manifest: 2, blob: 5 } },
      { step: 'warm', requests: none },
      { step: 'after a restart', requests: none },
      { step: 'upstream gone', requests: none },
    ])
    expect((await readdir(folder)).filter((name) => name.includes('demo'))).toEqual([])
  })

  it('ends a demo that is interrupted, and leaves nothing behind', async () => {
    const { code, stdout } = await run(node('demo'), { kill: 'runs on' })
    expect(code).toBe(130)
    expect(stdout).not.toContain('cold')
    expect((await readdir(folder)).filter((name) => name.includes('demo'))).toEqual([])
  })

  it('ends without a word when nobody reads', async () => {
    const { code, stderr } = await run(node('account', 'list', ...there()), { isRead: false })
    expect({ code, stderr }).toEqual({ code: 141, stderr: '' })
  })

  it.each([
    { args: ['publish'], want: `unknown command 'publish' (--help says more)\n` },
    { args: ['serve', '--prot'], want: `unknown option '--prot' (Did you mean --port?)\n` },
    {
      args: ['account', 'list', '--url'],
      want: `option '--url <address>' argument missing (--help says more)\n`,
    },
    {
      args: ['serve', '--var', 'password:canary'],
      want: '--var: expected NAME:VALUE, found "password:…"\n',
    },
  ])('ends with 2 at $args', async ({ args, want }) => {
    expect(await run(node(...args))).toEqual({ code: 2, stdout: '', stderr: want })
  })

  it.each(['start', 'demo', 'account', 'doctor'])('is what npm run %s calls', (name) => {
    expect(SCRIPTS[name]).toBe(`node cli/entrepot.ts ${name === 'start' ? 'serve' : name}`)
  })
})
