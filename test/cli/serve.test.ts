// `entrepot serve` as a program and as a function: what it prints and refuses, what its port answers, and that
// its state outlives it.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import type { IncomingMessage, OutgoingHttpHeaders, Server } from 'node:http'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { withAdministrator } from '../../cli/administrator.ts'
import { warningsOfPort } from '../../cli/refused-port.ts'
import type { Registry } from '../../cli/serve.ts'
import { serve } from '../../cli/serve.ts'
import { hashSecret } from '../../src/auth/account.ts'

const MARKER = 'nobody-reads-this-unsigned'
const MANIFEST = JSON.stringify({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  manifests: [],
  annotations: { marker: MARKER },
})
const DIGEST = `sha256:${createHash('sha256').update(MANIFEST).digest('hex')}`
const PATH = `/v2/docker.io/library/hello/manifests/${DIGEST}`
const ENTREPOT = join(import.meta.dirname, '..', '..', 'cli', 'entrepot.ts')

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-serve-'))
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

async function listen(server: Server): Promise<Server> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
}

/** An upstream that holds one manifest. */
function createUpstream(): Server {
  return createServer(({ url = '' }, response) => {
    const isManifest = url.endsWith(`/manifests/${DIGEST}`)
    const body = isManifest ? MANIFEST : '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'
    const type = isManifest ? 'application/vnd.oci.image.index.v1+json' : 'application/json'
    response.writeHead(isManifest || url === '/v2/' ? 200 : 404, {
      'Content-Type': type,
      'Content-Length': Buffer.byteLength(body),
      ...(isManifest && { 'Docker-Content-Digest': DIGEST }),
    })
    response.end(body)
  })
}

async function start(persistTo: string, upstream: number): Promise<Registry> {
  const table = { 'docker.io': { url: `http://127.0.0.1:${upstream}` } }
  return await serve({
    host: '127.0.0.1',
    port: 0,
    persistTo,
    vars: { UPSTREAMS: JSON.stringify(table) },
    secrets: false,
  })
}

/** `fetch` would not send a `Host` of our choice. */
async function get(
  url: URL,
  path: string,
  headers: OutgoingHttpHeaders = {},
): Promise<{ status: number | undefined; body: string }> {
  const asked = request({ host: url.hostname, port: url.port, path, headers, agent: false }).end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(Buffer.from(chunk))
  return { status: response.statusCode, body: Buffer.concat(chunks).toString() }
}

interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `entrepot serve`; `until` is called with all that was printed so far, and may end it. */
async function run(
  args: readonly string[],
  until?: (stdout: string, kill: () => void) => void,
): Promise<Run> {
  const child = spawn(process.execPath, [ENTREPOT, 'serve', ...args], { cwd: folder })
  const printed = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    printed.stdout += chunk.toString()
    until?.(printed.stdout, () => child.kill('SIGTERM'))
  })
  child.stderr.on('data', (chunk: Buffer) => {
    printed.stderr += chunk.toString()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...printed }
}

describe('the registry that runs here', () => {
  let upstream: Server
  let registry: Registry

  beforeAll(async () => {
    upstream = await listen(createUpstream())
    registry = await start(join(folder, 'state'), portOf(upstream))
    expect(await get(registry.url, PATH)).toEqual({ status: 200, body: MANIFEST })
  })

  afterAll(async () => {
    await registry.stop()
    if (upstream.listening) await close(upstream)
  })

  const stored = `mirror/docker.io/manifests/library/hello/sha256/${DIGEST.slice('sha256:'.length)}`
  const inner = [
    `/cdn-cgi/local/r2/public/entrepot-blobs/${stored}`,
    `/cdn-cgi/local/r2/s3/entrepot-blobs/${stored}`,
    '/cdn-cgi/local/explorer',
    '/cdn-cgi/local/explorer/api/r2/buckets',
    '/cdn-cgi/local/scheduled',
    '/cdn-cgi/handler/scheduled',
    '/cdn-cgi/mf/reload',
  ]

  it.each(inner)('answers %s itself, also to a forged Host', async (path) => {
    const plain = await get(registry.url, path)
    const forged = await get(registry.url, path, { host: 'localhost' })
    for (const { status, body } of [plain, forged]) {
      expect(status).toBe(404)
      expect(JSON.parse(body)).toHaveProperty('errors')
      expect(body).not.toContain(MARKER)
    }
  })

  it.each(inner)('is not led to %s by the headers of Miniflare', async (path) => {
    const { status, body } = await get(registry.url, '/v2/', {
      host: 'localhost',
      'MF-Original-URL': `http://localhost${path}`,
      'MF-Route-Override': 'entrepot',
      'MF-Original-Hostname': 'localhost',
    })
    expect(status).toBe(200)
    expect(body).toBe((await get(registry.url, '/v2/')).body)
  })

  it('has an administrator, for whom nobody else needs to log in', async () => {
    const file = registry.administrator ?? expect.fail('there is none')
    const secret = (await readFile(file, 'utf8')).trim()
    const credentials = Buffer.from(`administrator:${secret}`).toString('base64')
    const authorization = { authorization: `Basic ${credentials}` }
    expect((await get(registry.url, '/_/api/accounts')).status).toBe(401)
    expect((await get(registry.url, '/_/api/accounts', authorization)).status).toBe(200)
    expect((await get(registry.url, '/v2/')).status).toBe(200)
  })

  it('keeps its state over a restart, with the upstream gone', async () => {
    await registry.stop()
    const gone = portOf(upstream)
    await close(upstream)
    registry = await start(join(folder, 'state'), gone)
    expect(await get(registry.url, PATH)).toEqual({ status: 200, body: MANIFEST })
  })
})

describe('entrepot serve', () => {
  it('greets with its address, where the secret is and a line to try, and ends cleanly on SIGTERM', async () => {
    let url: URL | undefined
    const { code, stdout, stderr } = await run(['--port', '0'], (printed, kill) => {
      const address = /listens on (\S+)/.exec(printed)?.[1]
      if (address === undefined || !printed.includes('Try: ')) return
      url = new URL(address)
      kill()
    })
    const host = url?.host ?? expect.fail(stdout + stderr)
    expect(stdout).toContain(`docker://${host}/docker.io/library/alpine:latest`)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const file = join('.entrepot', 'administrator')
    expect(stdout).toContain(`the administrator's secret is in ${file}`)
    expect(stdout).not.toContain((await readFile(join(folder, file), 'utf8')).trim())
    await expect(get(new URL(`http://${host}`), '/v2/')).rejects.toThrow('ECONNREFUSED')
  })

  it('greets programs with a line of JSON', async () => {
    const { code, stdout } = await run(['--port', '0', '--json'], (_, kill) => kill())
    expect(code).toBe(0)
    expect(stdout.split('\n')).toHaveLength(2)
    expect(JSON.parse(stdout)).toEqual({
      event: 'listening',
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      persistTo: '.entrepot',
      administrator: join('.entrepot', 'administrator'),
      example: expect.stringMatching(/^skopeo copy /),
      warnings: [],
    })
  })

  it.each([1, 5060, 6000, 6669, 10_080])('warns of port %i, which nobody asks', async (port) => {
    const asked = fetch(`http://127.0.0.1:${port}`)
    await expect(asked).rejects.toMatchObject({ cause: { message: 'bad port' } })
    expect(warningsOfPort(port)).toEqual([expect.stringContaining(`port ${port};`)])
    expect(warningsOfPort(port + 1000)).toEqual([])
  })

  it('ends when nobody reads its log any more', async () => {
    const child = spawn(process.execPath, [ENTREPOT, 'serve', '--port', '0', '--json'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line]: Buffer[] = await once(child.stdout, 'data')
    child.stdout.destroy()
    const { url } = JSON.parse(String(line))
    const closed = once(child, 'close')
    // Answered or not: what counts is the line that it logs.
    await get(new URL(url), '/v2/').catch(() => undefined)
    const [code]: (number | null)[] = await closed
    expect(code).toBe(141)
    await expect(get(new URL(url), '/v2/')).rejects.toThrow('ECONNREFUSED')
  })

  it('prints what the Worker logs, and warnings', async () => {
    const grants = [{ repositories: ['hosted/**'], actions: ['push'] }]
    const args = ['--port', '0', '--var', `ANONYMOUS:${JSON.stringify(grants)}`]
    let asked: Promise<unknown> | undefined
    const seen = { answer: false, line: false }
    const { stdout } = await run(args, (printed, kill) => {
      // A registry that ends at its first line would take the answer with it.
      const note = (what: 'answer' | 'line') => {
        seen[what] = true
        if (seen.answer && seen.line) kill()
      }
      const address = /listens on (\S+)/.exec(printed)?.[1]
      if (address !== undefined) {
        asked ??= get(new URL(address), '/v2/').then(() => note('answer'))
      }
      if (/^\{.*"status":200.*\}$/m.test(printed)) note('line')
    })
    await asked
    expect(stdout).toContain('Warning: ANONYMOUS lets anyone push hosted/**')
  })

  it.each([
    {
      name: 'a wrong setting',
      args: ['--var', 'UPSTREAMS:{"ghcr.io":{"tagTTL":"soon"}}'],
      want: /^UPSTREAMS\["ghcr\.io"\]\.tagTTL: expected a duration .*, found "soon"\n$/,
    },
    {
      name: 'an unknown setting',
      args: ['--var', 'UPSTREAM:{}'],
      want: /^UPSTREAM: expected one of UPSTREAMS, .*, found an unknown key\n$/,
    },
  ])('stops before it starts at $name', async ({ args, want }) => {
    const { code, stdout, stderr } = await run(args)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(want)
  })

  it('says that its port is taken', async () => {
    const other = await listen(createServer())
    const port = String(portOf(other))
    const { code, stdout, stderr } = await run(['--port', port])
    await close(other)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      `cannot listen on 127.0.0.1:${port}: another program does; choose a port with --port
`,
    )
  })

  it('says that its address is not of this machine', async () => {
    const { code, stdout, stderr } = await run(['--host', '203.0.113.1', '--port', '5050'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^cannot listen on 203\.0\.113\.1:5050: .+\n$/)
  })
})

describe('the local administrator', () => {
  const other = { name: 'ci', secretHash: 'a'.repeat(64), grants: [] }

  /** A folder of its own, which is not there yet. */
  async function folderOf(name: string): Promise<{ state: string; file: string }> {
    const state = join(folder, 'administrators', name)
    await rm(state, { recursive: true, force: true })
    return { state, file: join(state, 'administrator') }
  }

  it('has a secret that only the owner of the folder can read, and its hash in ACCOUNTS', async () => {
    const { state, file } = await folderOf('new')
    const accounts = JSON.parse((await withAdministrator(undefined, state)) ?? '')
    const text = await readFile(file, 'utf8')
    expect(text).toMatch(/^[a-z2-7]{52}\n$/)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const secretHash = await hashSecret(text.trim())
    const grants = [{ repositories: ['**'], actions: ['admin'] }]
    expect(accounts).toEqual([{ name: 'administrator', secretHash, grants }])
    expect(await readdir(state)).toEqual(['administrator'])
  })

  it('is made once, by however many starts at the same time', async () => {
    const { state } = await folderOf('together')
    const starts = Array.from({ length: 8 }, () => withAdministrator(undefined, state))
    expect(new Set(await Promise.all(starts)).size).toBe(1)
    expect(await withAdministrator('', state)).toBe(await starts[0])
    expect(await readdir(state)).toEqual(['administrator'])
  })

  it.each([
    { name: 'as JSON', given: JSON.stringify([other]) },
    { name: 'as a list', given: [other] },
  ])('joins the accounts that are given $name', async ({ given }) => {
    const { state } = await folderOf('joins')
    const accounts = JSON.parse((await withAdministrator(given, state)) ?? '')
    expect(accounts).toEqual([other, expect.objectContaining({ name: 'administrator' })])
  })

  it('is the one that ACCOUNTS names, of whom no secret is kept here', async () => {
    const { state } = await folderOf('given')
    const given = JSON.stringify([{ ...other, name: 'administrator' }])
    expect(await withAdministrator(given, state)).toBeUndefined()
    await expect(readdir(state)).rejects.toThrow('ENOENT')
  })

  it.each([
    { name: 'holds no secret', content: 'hunter2\n' },
    { name: 'is empty', content: '' },
  ])('is not started with if its file $name', async ({ content }) => {
    const { state, file } = await folderOf('wrong')
    await mkdir(state, { recursive: true })
    await writeFile(file, content)
    const { code, stdout, stderr } = await run(['--port', '0', '--persist-to', state])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(`${file} holds no secret: remove it, and the next start makes one\n`)
  })

  it('is not started with if its file cannot be made', async () => {
    const { state } = await folderOf('file')
    await mkdir(join(state, '..'), { recursive: true })
    await writeFile(state, '')
    const { code, stdout, stderr } = await run(['--port', '0', '--persist-to', state])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^cannot make \S+administrator: .*EEXIST.*\n$/)
  })
})
