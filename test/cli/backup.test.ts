// `entrepot backup` and `entrepot restore` as programs, against a server that says what the test wants: the file on its
// way out and back, and everything that can be wrong with it.

import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { backupCommand } from '../../cli/backup-arguments.ts'
import { runProgram } from '../../cli/program.ts'
import { restoreCommand } from '../../cli/restore-arguments.ts'
import type { FakeAnswer, FakeRegistry, Script } from './fake-registry.ts'
import { fakeRegistry, jobStatus, refused } from './fake-registry.ts'
import { runEntrepot } from './run-program.ts'

const ID = 'export-m1-abcdef'
const PATH = `/_/api/exports/${ID}`
const PARTS = ['{"kind":"repository","name":"hosted/app"}\n{"kind":"x"}\n', '{"kind":"pin"}\n']

const partOf = (text: string) => ({
  sha256: createHash('sha256').update(text).digest('hex'),
  bytes: text.length,
  lines: text.split('\n').length - 1,
})
const INDEX = JSON.stringify({
  format: 'entrepot-export',
  version: 1,
  id: ID,
  at: 1,
  isNightly: false,
  counts: { repositories: 0, tags: 0, manifests: 0, blobs: 0, accounts: 0, pins: 0, empty: 0 },
  parts: PARTS.map(partOf),
})
const EXPORT = `${INDEX}\n${PARTS.join('')}`

let folder: string
let registry: FakeRegistry | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-backup-'))
})

afterEach(async () => {
  await registry?.close()
  registry = undefined
  await rm(folder, { recursive: true, force: true })
})

async function run(args: readonly string[], script: Script) {
  registry = await fakeRegistry(script)
  const env = { ENTREPOT_SECRET: 'root:secret' }
  return runEntrepot([...args, '--url', registry.url], { cwd: folder, env })
}

const asked = (): string[] =>
  (registry?.asked ?? []).map(({ method, path }) => `${method} ${path.replace('/_/api/', '')}`)

function exported(changes: Readonly<Record<string, unknown>> = {}): Script {
  const job = { id: 'export-1', kind: 'export', title: '' }
  return {
    'POST /_/api/jobs': [jobStatus(job)],
    'GET /_/api/jobs/export-1': [
      jobStatus({ ...job, state: 'done', result: { export: ID, bytes: 78, tags: 3 }, ...changes }),
    ],
    'GET /_/api/jobs/export-1/report?from=0': [{ json: { items: [] } }],
    [`GET ${PATH}`]: [{ text: EXPORT }],
  }
}

describe('the command line', () => {
  async function program(line: string | readonly string[]) {
    const ran: unknown[] = []
    let complaint: unknown
    const note = async (args: unknown): Promise<number> => {
      ran.push(args)
      return 0
    }
    const args = typeof line === 'string' ? line.split(' ') : line
    const code = await runProgram(args, [backupCommand(note), restoreCommand(note)], {
      print: () => undefined,
      complain: (what) => (complaint = what),
    })
    return { code, complaint, ran }
  }

  it.each([
    {
      line: 'backup',
      want: { action: { what: 'create', out: undefined, isDetached: false } },
    },
    {
      line: 'backup --out x.ndjson',
      want: { action: { what: 'create', out: 'x.ndjson', isDetached: false } },
    },
    {
      line: 'backup create --detach --json',
      want: { action: { what: 'create', out: undefined, isDetached: true }, isJSON: true },
    },
    { line: 'backup list', want: { action: { what: 'list' } } },
    {
      line: `backup fetch ${ID} --out x`,
      want: { action: { what: 'fetch', id: ID, out: 'x' } },
    },
    { line: `backup remove ${ID}`, want: { action: { what: 'remove', id: ID } } },
    { line: `restore ${ID} --detach`, want: { source: ID, isDetached: true } },
    { line: 'restore ./x.ndjson', want: { source: './x.ndjson', isDetached: false } },
  ])('$line', async ({ line, want }) => {
    const { code, ran } = await program(line)
    expect({ code, ran }).toMatchObject({ code: 0, ran: [want] })
  })

  it.each([
    { line: 'backup --out x --detach', want: /^--detach: expected no --out beside it/ },
    {
      line: 'backup --out --json',
      want: `option '--out <file>' argument missing (--help says more)`,
    },
    { line: 'backup fetch X --out x', want: /^fetch: expected the id of an export, .* found "X"$/ },
    { line: `backup fetch ${ID}`, want: /^required option '--out <file>' not specified/ },
    { line: ['backup', '--out', ''], want: '--out: expected the name of a file, found ""' },
    { line: 'backup lst', want: `unknown command 'lst' (Did you mean list?)` },
    { line: 'backup create lst', want: /^too many arguments for 'create'/ },
    { line: 'backup remove ../x', want: /^remove: expected the id of an export/ },
    { line: 'restore', want: `missing required argument 'export' (--help says more)` },
  ])('not $line', async ({ line, want }) => {
    const { complaint, ...others } = await program(line)
    expect(others).toEqual({ code: 2, ran: [] })
    expect(complaint).toEqual(typeof want === 'string' ? want : expect.stringMatching(want))
  })
})

describe('entrepot backup', () => {
  it('makes an export and writes it to a file for its owner alone', async () => {
    const { code, stdout } = await run(['backup', '--out', 'out.ndjson'], exported())
    expect(code).toBe(0)
    expect(stdout).toContain(`\n  export: ${ID}\n`)
    expect(stdout).toContain('\n  file: out.ndjson\n')
    const file = join(folder, 'out.ndjson')
    expect(await readFile(file, 'utf8')).toBe(EXPORT)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
  })

  it('writes over the file of yesterday', async () => {
    await writeFile(join(folder, 'out.ndjson'), 'yesterday')
    expect(await run(['backup', '--out', 'out.ndjson'], exported())).toMatchObject({ code: 0 })
    expect(await readFile(join(folder, 'out.ndjson'), 'utf8')).toBe(EXPORT)
  })

  it('says nothing but JSON', async () => {
    const { stdout, stderr } = await run(['backup', '--out', 'x', '--json'], exported())
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toMatchObject({ state: 'done', file: 'x', result: { export: ID } })
  })

  it('without a file asks for none', async () => {
    expect(await run(['backup'], exported())).toMatchObject({ code: 0 })
    expect(asked()).not.toContain(`GET exports/${ID}`)
  })

  it('that failed writes no file', async () => {
    const failed = exported({ state: 'failed', result: {} })
    expect(await run(['backup', '--out', 'x'], failed)).toMatchObject({ code: 1 })
    expect(await readdir(folder)).toEqual([])
  })

  it.each<{ name: string; answer: FakeAnswer; want: RegExp }>([
    {
      name: 'a part that is another',
      answer: { text: EXPORT.replace('hosted/app', 'hosted/bad') },
      want: /^the export export-m1-abcdef: part 0 has another SHA-256 than its index says\n$/,
    },
    {
      name: 'an end before its time',
      answer: { text: EXPORT.slice(0, -3) },
      want: /^the export export-m1-abcdef: it broke off\n$/,
    },
    {
      name: 'no export',
      answer: { text: '<html>\n' },
      want: /^the export export-m1-abcdef: this is no index of an export/,
    },
    {
      name: 'no whole index',
      answer: { text: INDEX.slice(0, 50) },
      want: /^the export export-m1-abcdef: it broke off\n$/,
    },
    {
      name: 'a refusal',
      answer: refused(404, 'NAME_UNKNOWN', 'there is no export x'),
      want: /^there is no export x\n$/,
    },
  ])('does not keep $name, and leaves the file of yesterday', async ({ answer, want }) => {
    await writeFile(join(folder, 'x'), 'yesterday')
    const { code, stdout, stderr } = await run(['backup', 'fetch', ID, '--out', 'x'], {
      [`GET ${PATH}`]: [answer],
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(want)
    expect(await readdir(folder)).toEqual(['x'])
    expect(await readFile(join(folder, 'x'), 'utf8')).toBe('yesterday')
  })

  it.each([
    { out: 'none/x', why: 'there is no folder none' },
    { out: 'none/', why: 'there is no folder none' },
    { out: 'folder', why: 'it is a folder' },
    { out: 'file/x', why: 'not a directory' },
    { out: '/dev/null', why: 'it is no usual file' },
    { out: 'x'.repeat(300), why: 'name too long' },
  ])('asks for nothing where it cannot write $out', async ({ out, why }) => {
    await mkdir(join(folder, 'folder'))
    await writeFile(join(folder, 'file'), '')
    for (const args of [['backup'], ['backup', 'fetch', ID]]) {
      const { code, stdout, stderr } = await run([...args, '--out', out], exported())
      expect({ code, stdout, stderr }).toEqual({
        code: 1,
        stdout: '',
        stderr: `cannot write ${out}: ${why}\n`,
      })
      expect(asked()).toEqual([])
      await registry?.close()
    }
    expect((await readdir(folder)).toSorted()).toEqual(['file', 'folder'])
  })

  it('lists and removes', async () => {
    const at = '2026-11-23T02:00:00.000Z'
    const one = { id: ID, at, bytes: 2048, nightly: true, repositories: 2, tags: 3, accounts: 1 }
    const script = {
      'GET /_/api/exports': [{ json: { exports: [one] } }],
      [`DELETE ${PATH}`]: [{ status: 200, text: '' }],
    }
    expect((await run(['backup', 'list'], script)).stdout.trimEnd().split('\n')).toEqual([
      'id                 at                               size      repositories   tags   accounts',
      'export-m1-abcdef   2026-11-23 02:00:00Z   nightly   2.0 KiB   2              3      1',
    ])
    await registry?.close()
    const removed = await run(['backup', 'remove', ID], script)
    expect(removed.stdout).toBe(`the export ${ID} is removed\n`)
  })
})

describe('entrepot restore', () => {
  const job = { id: 'restore-1', kind: 'restore', title: ID }
  const restored: Script = {
    'POST /_/api/jobs': [jobStatus({ ...job, state: 'done', result: { tags: 3 } })],
    'GET /_/api/jobs/restore-1/report?from=0': [{ json: { items: [] } }],
  }
  const complete: FakeAnswer = { status: 201, json: { id: ID, missing: [] } }
  const missing = (...parts: readonly number[]): FakeAnswer => ({
    status: 202,
    json: { id: ID, missing: parts },
  })

  it('brings what is missing of a file, and orders it', async () => {
    await writeFile(join(folder, 'x'), EXPORT)
    const { code, stdout } = await run(['restore', 'x'], {
      ...restored,
      [`PUT ${PATH}`]: [missing(1), complete],
      [`PUT ${PATH}?part=1`]: [{ text: '' }],
    })
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('tags: 3') })
    expect(asked()).toEqual([
      `PUT exports/${ID}`,
      `PUT exports/${ID}?part=1`,
      `PUT exports/${ID}`,
      'POST jobs',
      'GET jobs/restore-1/report?from=0',
    ])
    expect(registry?.asked[0]?.body).toEqual(JSON.parse(INDEX))
    expect(registry?.asked[1]?.body).toEqual(JSON.parse(PARTS[1] ?? ''))
    expect(registry?.asked[3]?.body).toEqual({ kind: 'restore', export: ID })
  })

  it('brings nothing that is there', async () => {
    await writeFile(join(folder, 'x'), EXPORT)
    await run(['restore', 'x'], { ...restored, [`PUT ${PATH}`]: [complete] })
    expect(asked().slice(0, 2)).toEqual([`PUT exports/${ID}`, 'POST jobs'])
  })

  it('takes an id as it is', async () => {
    expect(await run(['restore', ID], restored)).toMatchObject({ code: 0 })
    expect(asked()[0]).toBe('POST jobs')
  })

  it('takes a file for a file, whatever its name', async () => {
    await writeFile(join(folder, 'nightly-1'), EXPORT)
    await run(['restore', 'nightly-1'], { ...restored, [`PUT ${PATH}`]: [complete] })
    expect(asked()[0]).toBe(`PUT exports/${ID}`)
  })

  it.each([
    {
      name: 'is not there',
      content: undefined,
      want: /^x is neither a file nor the id of an export\n$/,
    },
    { name: 'is no export', content: 'hello\n', want: /^x: this is no index of an export/ },
    { name: 'has no line', content: 'hello', want: /^x: this is no export/ },
    { name: 'is cut off', content: EXPORT.slice(0, -3), want: /^x: it ends before its last part/ },
    {
      name: 'was changed',
      content: EXPORT.replace('"pin"', '"pig"'),
      want: /^x: part 1 has another SHA-256 than its index says\n$/,
    },
  ])('of a file that $name orders nothing', async ({ content, want }) => {
    if (content !== undefined) await writeFile(join(folder, 'x'), content)
    const { code, stderr } = await run(['restore', 'x'], {
      ...restored,
      [`PUT ${PATH}`]: [missing(0, 1)],
      [`PUT ${PATH}?part=0`]: [{ text: '' }],
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(want)
    expect(asked()).not.toContain('POST jobs')
  })

  it('gives up on a registry that keeps no parts', async () => {
    await writeFile(join(folder, 'x'), EXPORT)
    const { code, stderr } = await run(['restore', 'x'], {
      [`PUT ${PATH}`]: [missing(0)],
      [`PUT ${PATH}?part=0`]: [{ text: '' }],
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^http:\S+ does not keep the parts of x\n$/)
  })
})
