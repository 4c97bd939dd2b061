// `entrepot doctor` as a program, against a registry that runs.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import type { Finding } from '../../cli/doctor-finding.ts'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { Registry } from '../../cli/serve.ts'
import { serve } from '../../cli/serve.ts'
import { listenUpstream } from '../../cli/upstream-listener.ts'
import type { UpstreamListener } from '../../cli/upstream-listener.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import { createSecret, hashSecret } from '../../src/auth/account.ts'

const ENTREPOT = join(import.meta.dirname, '..', '..', 'cli', 'entrepot.ts')
const CHECKS = 13
const upstream = new SampleUpstream({ authentication: { service: 'sample' } })
const secret = createSecret()

let folder: string
let state: string
let listener: UpstreamListener
let registry: Registry

interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-doctor-'))
  state = join(folder, 'state')
  listener = await listenUpstream(upstream.handle)
  const index = await sampleIndex([await sampleImage({ layers: [100_000] })])
  await addSample(upstream, 'library/hello-world', index, 'latest')
  const grants = [{ repositories: ['**'], actions: ['pull', 'push', 'admin'] }]
  const vars = {
    UPSTREAMS: JSON.stringify({ 'docker.io': { url: listener.url } }),
    HOSTED: '["hosted/**"]',
    ACCOUNTS: JSON.stringify([{ name: 'ci', secretHash: await hashSecret(secret), grants }]),
  }
  registry = await serve({ host: '127.0.0.1', port: 0, persistTo: state, vars, secrets: false })
})

afterAll(async () => {
  await registry.stop()
  await listener.close()
  await rm(folder, { recursive: true, force: true })
})

/** Runs the command as it is. */
async function run(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const { ENTREPOT_SECRET: _, ...others } = process.env
  const child = spawn(process.execPath, [ENTREPOT, 'doctor', ...args], {
    cwd: folder,
    env: { ...others, ...environment },
  })
  const out = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      out[name] += chunk.toString()
    })
  }
  const [code]: (number | null)[] = await once(child, 'close')
  return { code: code ?? null, ...out }
}

/** The findings, for programs. */
async function findings(...args: Parameters<typeof run>): Promise<readonly Finding[]> {
  const [words, environment] = args
  const { stdout } = await run([registry.url.origin, ...words, '--json'], environment)
  return JSON.parse(stdout).findings
}

describe('a registry that is well', () => {
  const login = { ENTREPOT_SECRET: `ci:${secret}` }

  it('passes every check, redirected, and keeps nothing of the push', async () => {
    const { code, stdout, stderr } = await run(
      [registry.url.origin, '--push', 'hosted/doctor'],
      login,
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const lines = stdout.split('\n')
    expect(lines.slice(0, CHECKS).every((line) => line.startsWith('ok '))).toBe(true)
    expect(stdout).toMatch(
      /^ok +redirect +to localhost:\d+, where the bytes and a range of them arrive$/m,
    )
    expect(stdout).toMatch(/^ok +push +hosted\/doctor takes uploads of ci$/m)
    expect(stdout).toMatch(/\n\nAll is well\.\n$/)
    expect(stdout).not.toContain(secret)
    const basic = Buffer.from(`ci:${secret}`).toString('base64')
    const catalog = await fetch(new URL('/v2/_catalog', registry.url), {
      headers: { authorization: `Basic ${basic}` },
    })
    expect(await catalog.json()).toEqual({ repositories: ['docker.io/library/hello-world'] })
  })

  it('is asked in the name of the local administrator, else of nobody', async () => {
    const here = await findings(['--persist-to', state])
    const account = { check: 'account token', state: 'ok' }
    expect(here).toContainEqual(expect.objectContaining(account))
    expect(here.find(({ check }) => check === 'account token')?.says).toBe(
      `given to administrator (${join(state, 'administrator')})`,
    )
    const nobody = await findings([])
    expect(nobody.filter((each) => each.state === 'not checked').map(({ check }) => check)).toEqual(
      ['account token', 'upstreams', 'push'],
    )
    const local = (await readFile(join(state, 'administrator'), 'utf8')).trim()
    expect(JSON.stringify([here, nobody])).not.toContain(local)
  })

  it('whose upstream is gone serves what it has, and says so of what it has not', async () => {
    upstream.stop()
    const cached = await findings([], login)
    const cold = await findings(['--image', 'docker.io/library/other:1'], login)
    upstream.start()
    expect(cached.find(({ check }) => check === 'manifest GET')?.state).toBe('ok')
    expect(cold.find(({ check }) => check === 'manifest GET')).toMatchObject({
      state: 'problem',
      says: 'the upstream of docker.io/library/other:1 fails (502: the upstream is unavailable)',
    })
  })

  it.each([
    {
      name: 'a wrong secret',
      args: [],
      as: `ci:${createSecret()}`,
      want: /^problem +account token +the secret of ci \(ENTREPOT_SECRET\) is refused \(401\)$/m,
    },
    {
      name: 'a push to a mirror',
      args: ['--push', 'docker.io/library/hello-world'],
      as: `ci:${secret}`,
      want: /^problem +push +docker\.io\/library\/hello-world takes no pushes \(405: a mirrored/m,
    },
    {
      name: 'an image that is not there',
      args: ['--image', 'docker.io/library/nothing:1'],
      as: `ci:${secret}`,
      want: /^problem +manifest GET +docker\.io\/library\/nothing:1 is not there \(404/m,
    },
    {
      name: 'an account that may not push',
      args: ['--push', 'hosted/app', '--persist-to', 'state'],
      as: '',
      want: /^problem +push +administrator may not push to hosted\/app \(401\)$/m,
    },
  ])('ends with 1 at $name', async ({ args, as, want }) => {
    const { code, stdout } = await run([registry.url.origin, ...args], { ENTREPOT_SECRET: as })
    expect(code).toBe(1)
    expect(stdout).toMatch(want)
    expect(stdout).not.toContain(as.split(':')[1] ?? 'canary')
  })
})

describe('a secret without a name', () => {
  it('is told with status 2, and not shown', async () => {
    const { code, stdout, stderr } = await run(['https://registry.invalid'], {
      ENTREPOT_SECRET: 'canary-secret',
    })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toBe('expected ENTREPOT_SECRET=<name>:<secret>, found no ":" in it\n')
  })
})
