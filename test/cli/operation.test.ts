// The commands by which a registry is operated, each as a program, against a server that says what the test wants:
// what they ask, what they print, and how they end when something goes wrong.

import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

import type { FakeRegistry, Script } from './fake-registry.ts'
import { fakeRegistry, jobStatus, refused } from './fake-registry.ts'
import type { RunOptions } from './run-program.ts'
import { runEntrepot } from './run-program.ts'

const SECRET = 'canary-secret'
const PURGE = ['purge', 'docker.io/library/nginx']
const POST_JOB = 'POST /_/api/jobs'
const GET_JOB = 'GET /_/api/jobs/purge-1'
const GET_REPORT = 'GET /_/api/jobs/purge-1/report?from=0'
const NO_REPORT = { [GET_REPORT]: [{ json: { items: [] } }] }
const DIGEST = `sha256:${'a'.repeat(64)}`

let folder: string
let registry: FakeRegistry | undefined

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-operation-'))
})

afterEach(async () => {
  await registry?.close()
  registry = undefined
})

afterAll(() => rm(folder, { recursive: true, force: true }))

/** Runs a command against a server with this script. */
async function run(args: readonly string[], script: Script, options: RunOptions = {}) {
  registry = await fakeRegistry(script)
  const env = { ENTREPOT_SECRET: `root:${SECRET}`, ...options.env }
  const done = await runEntrepot([...args, '--url', registry.url], { cwd: folder, ...options, env })
  expect(done.stdout + done.stderr).not.toContain(SECRET)
  return done
}

const bodies = (method: string): unknown[] =>
  (registry?.asked ?? []).filter((each) => each.method === method).map(({ body }) => body)

describe('a job', () => {
  const done = jobStatus({
    state: 'done',
    endedAt: '2026-11-23T02:01:04.000Z',
    progress: { done: 2, total: 2, unit: 'images' },
    result: { removed: 2, bytes: 3_145_728 },
  })
  const items = [
    { subject: 'docker.io/library/nginx:1', outcome: 'removed', digest: DIGEST, bytes: 2048 },
    { subject: 'docker.io/library/nginx:2', outcome: 'removed' },
  ]

  it('is ordered, followed and told of', async () => {
    const { code, stdout, stderr } = await run(PURGE, {
      [POST_JOB]: [jobStatus()],
      [GET_JOB]: [jobStatus({ progress: { done: 1, total: 2, unit: 'images' } }), done],
      [GET_REPORT]: [{ json: { items } }],
    })
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: [
        'what                        outcome   size      digest',
        `docker.io/library/nginx:1   removed   2.0 KiB   ${DIGEST}`,
        'docker.io/library/nginx:2   removed',
        '',
        'purge docker.io/library/nginx: done (1 min 4 s)',
        '  removed: 2',
        '  bytes: 3.0 MiB',
        '',
      ].join('\n'),
      stderr: 'purge docker.io/library/nginx\npurge docker.io/library/nginx, done, 2 of 2 images\n',
    })
    expect(bodies('POST')).toEqual([{ kind: 'purge', target: 'docker.io/library/nginx' }])
    expect(registry?.asked.map(({ authorization }) => authorization)).toContain(
      `Basic ${Buffer.from(`root:${SECRET}`).toString('base64')}`,
    )
  })

  it('is nothing but its JSON at the end, with every page of its report', async () => {
    const page = (from: number) => `GET /_/api/jobs/purge-1/report?from=${from}`
    const { code, stdout, stderr } = await run([...PURGE, '--json'], {
      [POST_JOB]: [jobStatus()],
      [GET_JOB]: [jobStatus(), done],
      [page(0)]: [{ json: { items: items.slice(0, 1), next: 1 } }],
      [page(1)]: [{ json: { items: items.slice(1) } }],
    })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ id: 'purge-1', state: 'done', report: items })
  })

  it.each([
    { args: [], want: 'purge-1\n' },
    { args: ['--json'], want: expect.stringMatching(/^{\n {2}"id": "purge-1",/) },
  ])('that is detached is its id $args', async ({ args, want }) => {
    const script = { [POST_JOB]: [jobStatus()] }
    const { code, stdout, stderr } = await run([...PURGE, '--detach', ...args], script)
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: want, stderr: '' })
    expect(registry?.asked).toHaveLength(1)
  })

  it.each([
    { name: 'failed', status: { state: 'failed', note: 'the source\u001B[2J is gone' }, items: [] },
    { name: 'was cancelled', status: { state: 'cancelled' }, items: [] },
    {
      name: 'did a part of it not',
      status: { state: 'done' },
      items: [{ subject: 'a', outcome: 'failed', note: 'refused' }],
    },
  ])('that $name is a failure', async ({ status, items: reported }) => {
    const { code, stdout } = await run(PURGE, {
      [POST_JOB]: [jobStatus()],
      [GET_JOB]: [jobStatus(status)],
      [GET_REPORT]: [{ json: { items: reported } }],
    })
    expect(code).toBe(1)
    expect(stdout).toContain(`purge docker.io/library/nginx: ${status.state}`)
    expect(stdout).not.toContain('\u001B')
    if ('note' in status) expect(stdout).toContain(': the source [2J is gone')
  })

  it('shows what failed however long its report is', async () => {
    const many = Array.from({ length: 400 }, (_, index) => ({
      subject: `image-${index}`,
      outcome: index === 399 ? 'failed' : 'removed',
    }))
    const { code, stdout } = await run(PURGE, {
      [POST_JOB]: [done],
      [GET_REPORT]: [{ json: { items: many } }],
    })
    expect(code).toBe(1)
    expect(stdout).toContain('image-399')
    expect(stdout).not.toContain('image-250')
    expect(stdout).toContain('… and 199 more lines, which --json prints\n')
  })

  it('goes on while the registry restarts or cannot answer', async () => {
    const { code, stderr } = await run(PURGE, {
      [POST_JOB]: [jobStatus()],
      [GET_JOB]: ['drop', refused(503, 'UNKNOWN', 'jobs cannot be reached'), done],
      ...NO_REPORT,
    })
    expect(code).toBe(0)
    expect(stderr).toContain('purge docker.io/library/nginx, no answer: no registry answers on ')
    expect(stderr).toContain('purge docker.io/library/nginx, no answer: jobs cannot be reached\n')
  })

  it('that nobody may look at any more is a failure, with how to look at it', async () => {
    const { code, stderr } = await run(PURGE, {
      [POST_JOB]: [jobStatus()],
      [GET_JOB]: [refused(401, 'UNAUTHORIZED', 'authentication required')],
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/does not take root for an administrator: /)
    expect(stderr).toMatch(/\nThe job may go on\. How it stands: entrepot jobs show purge-1 --url /)
  })

  it('goes on when the command is interrupted, which says how to look at it', async () => {
    const script = { [POST_JOB]: [jobStatus()], [GET_JOB]: [jobStatus()] }
    const { code, stdout, stderr } = await run(PURGE, script, { interruptAt: 'library/nginx\n' })
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' })
    expect(stderr).toContain(
      `The job goes on. How it stands: entrepot jobs show purge-1 --url ${registry?.url}\n`,
    )
    expect(bodies('DELETE')).toEqual([])
  })

  it.runIf(hasTerminals())(
    'is a bar on a terminal, whose cursor is there again at the end',
    async () => {
      registry = await fakeRegistry({
        [POST_JOB]: [jobStatus()],
        [GET_JOB]: [jobStatus({ progress: { done: 1, total: 2, unit: 'images' } }), done],
        ...NO_REPORT,
      })
      const command = [process.execPath, join(import.meta.dirname, '../../cli/entrepot.ts')]
      const { stdout, code } = await inTerminal([...command, ...PURGE, '--url', registry.url])
      expect(code).toBe(0)
      expect(stdout).toContain('1 of 2 images  50%\u001B[K')
      expect(stdout.split('\u001B[?25l')).toHaveLength(2)
      expect(stdout.lastIndexOf('\u001B[?25h')).toBeGreaterThan(stdout.lastIndexOf('\u001B[?25l'))
      expect(stdout).toContain('purge docker.io/library/nginx: done (1 min 4 s)')
    },
  )
})

describe('a command fails with one sentence', () => {
  it.each([
    {
      name: 'at a wrong secret',
      answer: refused(401, 'UNAUTHORIZED', 'authentication required'),
      want: /^http:\S+ does not take root for an administrator: .*\n$/,
    },
    {
      name: 'at an order that means nothing',
      answer: refused(400, 'UNSUPPORTED_VALUE', 'target: no upstream is called nginx'),
      want: /^target: no upstream is called nginx\n$/,
    },
    {
      name: 'while the registry cannot',
      answer: refused(503, 'UNKNOWN', 'jobs cannot be reached'),
      want: /^jobs cannot be reached\n$/,
    },
    {
      name: 'at what is no registry',
      answer: { text: '<html>' },
      want: /^http:\S+ is no registry of this kind \(status 200\)\n$/,
    },
    {
      name: 'at a registry that has another idea of jobs',
      answer: { json: { id: 7 } },
      want: /^http:\S+ gave an answer that no registry of this kind gives\n$/,
    },
    {
      name: 'at a connection that is cut',
      answer: 'drop' as const,
      want: /^no registry answers on http:\S+ \(.+\): is it running, .*\n$/,
    },
  ])('$name', async ({ answer, want }) => {
    const { code, stdout, stderr } = await run(PURGE, { [POST_JOB]: [answer] })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(want)
  })
})

describe('orders', () => {
  const order = async (args: readonly string[], options?: RunOptions): Promise<unknown> => {
    const { code } = await run([...args, '--detach'], { [POST_JOB]: [jobStatus()] }, options)
    expect(code).toBe(0)
    return bodies('POST')[0]
  }

  it('of prefetch hold the images of the line and of the list, each once', async () => {
    await writeFile(join(folder, 'list.txt'), 'quay.io/a/b:1\n# no\nquay.io/a/c:1\n')
    expect(await order(['prefetch', 'quay.io/a/b:1', '--file', 'list.txt'])).toEqual({
      kind: 'prefetch',
      images: ['quay.io/a/b:1', 'quay.io/a/c:1'],
    })
  })

  it('of prefetch read the standard input', async () => {
    const args = ['prefetch', '--file', '-', '--platforms', 'linux/amd64']
    expect(await order(args, { input: 'quay.io/a/b:1\n' })).toEqual({
      kind: 'prefetch',
      images: ['quay.io/a/b:1'],
      platforms: ['linux/amd64'],
    })
  })

  it.each([
    { file: 'none.txt', want: /^cannot read none\.txt: no such file or directory\n$/, code: 1 },
    { file: 'empty.txt', want: /^empty\.txt has no image in it\n$/, code: 1 },
    { file: 'wrong.txt', want: /^wrong\.txt, line 1: expected an image /, code: 2 },
  ])('of prefetch are refused with $file', async ({ file, want, code }) => {
    await writeFile(join(folder, 'empty.txt'), '# nothing\n')
    await writeFile(join(folder, 'wrong.txt'), 'nginx latest\n')
    const done = await run(['prefetch', '--file', file], {})
    expect(done).toMatchObject({ code, stdout: '' })
    expect(done.stderr).toMatch(want)
    expect(registry?.asked).toEqual([])
  })

  it('of an import hold the login of the environment', async () => {
    const from = ['--from', 'https://old.example', '--repositories', 'team/**']
    const env = { ENTREPOT_SOURCE: 'robot:canary' }
    expect(await order(['import', ...from, '--to', 'hosted/team'], { env })).toEqual({
      kind: 'import',
      from: 'https://old.example/',
      repositories: ['team/**'],
      to: 'hosted/team',
      credential: { username: 'robot', password: 'canary' },
    })
  })

  it('of a collection hold sizes as they were written', async () => {
    expect(await order(['collect', '--dry-run', '--target', '5GB', '--low', '80%'])).toEqual({
      kind: 'collect',
      dryRun: true,
      target: '5GB',
      low: '80%',
    })
  })
})

describe('jobs', () => {
  const one = jobStatus({ id: 'purge-1', state: 'done', endedAt: '2026-11-23T02:00:05.000Z' })
  const collect = { id: 'collect-2', kind: 'collect', title: 'collect', by: '' }
  const two = jobStatus(collect)
  const json = (answer: typeof one): unknown => (answer === 'drop' ? undefined : answer.json)
  const script: Script = {
    'GET /_/api/jobs': [{ json: { jobs: [json(two)], next: 'a b' } }],
    'GET /_/api/jobs?cursor=a%20b': [{ json: { jobs: [json(one)] } }],
    [GET_JOB]: [one],
    [GET_REPORT]: [{ json: { items: [{ subject: 'a', outcome: 'removed' }] } }],
    'GET /_/api/jobs/collect-2': [two],
    'DELETE /_/api/jobs/collect-2': [jobStatus({ ...collect, state: 'cancelled' })],
  }

  it.each([
    {
      args: [],
      want: [
        'id          state     begun                  by   progress   what',
        'collect-2   running   2026-11-23 02:00:00Z   -               collect',
        '… and older ones, which --all shows',
      ],
    },
    {
      args: ['list', '--all'],
      want: [
        'id          state     begun                  by     progress   what',
        'collect-2   running   2026-11-23 02:00:00Z   -                 collect',
        'purge-1     done      2026-11-23 02:00:00Z   root              purge docker.io/library/nginx',
      ],
    },
    {
      args: ['show', 'purge-1'],
      want: [
        'id: purge-1',
        '',
        'what   outcome',
        'a      removed',
        '',
        'purge docker.io/library/nginx: done (5 s)',
      ],
    },
    {
      args: ['follow', 'purge-1'],
      want: ['what   outcome', 'a      removed', '', 'purge docker.io/library/nginx: done (5 s)'],
    },
    { args: ['cancel', 'collect-2'], want: ['collect: cancelled'] },
    {
      args: ['cancel', 'purge-1'],
      want: ['the job purge-1 had ended already', 'purge docker.io/library/nginx: done (5 s)'],
    },
  ])('$args', async ({ args, want }) => {
    const { code, stdout } = await run(['jobs', ...args], script)
    expect({ code, lines: stdout.trimEnd().split('\n') }).toEqual({ code: 0, lines: want })
  })

  it('of which there are none', async () => {
    const { stdout } = await run(['jobs'], { 'GET /_/api/jobs': [{ json: { jobs: [] } }] })
    expect(stdout).toBe('There are no jobs.\n')
  })
})

describe('pin', () => {
  const image = 'docker.io/library/nginx:1.29'
  const path = '/_/api/pins'

  it('adds', async () => {
    const args = ['pin', 'add', image, '--platforms', 'linux/amd64,linux/arm64']
    const { code, stdout } = await run(args, { [`PUT ${path}`]: [{ json: { job: 'prefetch-1' } }] })
    const text = `${image} is pinned; the job prefetch-1 fetches it\n`
    expect({ code, stdout }).toEqual({ code: 0, stdout: text })
    expect(bodies('PUT')).toEqual([{ image, platforms: ['linux/amd64', 'linux/arm64'] }])
  })

  it('removes', async () => {
    const asked = `DELETE ${path}?image=docker.io%2Flibrary%2Fnginx%3A1.29`
    const { code, stdout } = await run(['pin', 'remove', image], { [asked]: [{ text: '' }] })
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${image} is pinned no more\n` })
  })

  it('lists', async () => {
    const pins = [
      { image, by: 'root', at: '2026-11-23T02:00:00.000Z', platforms: ['linux/amd64'] },
      { image: 'quay.io/a/b:1', by: '', at: '2026-11-23T02:00:00.000Z' },
    ]
    const { stdout } = await run(['pin', 'list'], { [`GET ${path}`]: [{ json: { pins } }] })
    expect(stdout.split('\n').slice(1)).toEqual([
      `${image}   linux/amd64   root   2026-11-23 02:00:00Z`,
      'quay.io/a/b:1                  all           -      2026-11-23 02:00:00Z',
      '',
    ])
  })
})

describe('refresh', () => {
  it('says what the tag was and is', async () => {
    const image = 'docker.io/library/nginx:latest'
    const now = `sha256:${'b'.repeat(64)}`
    const answer = { json: { image, before: DIGEST, digest: now, outcome: 'changed' } }
    const { code, stdout } = await run(['refresh', image], { 'POST /_/api/refresh': [answer] })
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `${image}: changed\n  before  ${DIGEST}\n  now     ${now}\n`,
    })
    expect(bodies('POST')).toEqual([{ image }])
  })

  it('says it of every tag of a repository, and fails where one could not be asked for', async () => {
    const image = 'docker.io/library/nginx'
    const refreshed = [
      { image: `${image}:1`, before: DIGEST, digest: DIGEST, outcome: 'unchanged' },
      { image: `${image}:2`, outcome: 'failed', error: 'status\u001B[2J 503' },
    ]
    const script = { 'POST /_/api/refresh': [{ json: { image, refreshed } }] }
    const { code, stdout } = await run(['refresh', image], script)
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: `${image}:1: unchanged\n  now     ${DIGEST}\n${image}:2: failed (status [2J 503)\n`,
    })
  })
})

describe('switches', () => {
  const path = '/_/api/switches'
  const off = { readOnly: false, noFills: false, noRedirect: false, alwaysStale: false, paused: [] }
  const text = (readOnly: string, paused: string): string =>
    [
      `readOnly      ${readOnly}`,
      'noFills       off',
      'noRedirect    off',
      'alwaysStale   off',
      `paused        ${paused}`,
      '',
    ].join('\n')

  it('are shown', async () => {
    const { stdout } = await run(['switches'], { [`GET ${path}`]: [{ json: off }] })
    expect(stdout).toBe(text('off', '-'))
  })

  it('are set', async () => {
    const script = { [`PATCH ${path}`]: [{ json: { ...off, readOnly: true } }] }
    const { stdout } = await run(['switches', 'set', 'readOnly', 'on'], script)
    expect(stdout).toBe(text('on', '-'))
    expect(bodies('PATCH')).toEqual([{ readOnly: true }])
  })

  it.each([
    { action: 'pause', host: 'quay.io', paused: ['docker.io', 'quay.io'] },
    { action: 'pause', host: 'docker.io', paused: ['docker.io'] },
    { action: 'resume', host: 'docker.io', paused: [] },
    { action: 'resume', host: 'quay.io', paused: ['docker.io'] },
  ])('$action $host', async ({ action, host, paused }) => {
    const script = {
      [`GET ${path}`]: [{ json: { ...off, paused: ['docker.io'] } }],
      [`PATCH ${path}`]: [{ json: { ...off, paused } }],
    }
    const { stdout } = await run(['switches', action, host], script)
    expect(stdout).toBe(text('off', paused.join(', ') || '-'))
    expect(bodies('PATCH')).toEqual([{ paused }])
  })
})

describe('images', () => {
  const at = '2026-11-23T02:00:00.000Z'
  const line = {
    name: 'docker.io/library/nginx',
    kind: 'mirrored',
    tags: 2,
    manifests: 5,
    bytes: 3_145_728,
    firstSeen: at,
    lastPull: at,
    pulls: [
      { day: '2026-11-22', pulls: 3 },
      { day: '2026-11-23', pulls: 4 },
    ],
  }

  it('are listed, page by page; what cannot be known is a question', async () => {
    const away = { name: 'hosted/app', kind: 'hosted', pulls: [] }
    const { code, stdout } = await run(['images', 'n&x', '--kind', 'mirrored'], {
      'GET /_/api/images?search=n%26x&kind=mirrored': [{ json: { images: [line], next: 'n' } }],
      'GET /_/api/images?search=n%26x&kind=mirrored&last=n': [{ json: { images: [away] } }],
    })
    expect({ code, lines: stdout.trimEnd().split('\n') }).toEqual({
      code: 0,
      lines: [
        'name                      kind       tags   manifests   size      first seen             last pull              pulls',
        'docker.io/library/nginx   mirrored   2      5           3.0 MiB   2026-11-23 02:00:00Z   2026-11-23 02:00:00Z   7',
        'hosted/app                hosted     ?      ?           ?         -                      -                      0',
      ],
    })
  })

  it('are JSON with all pages in one', async () => {
    const { stdout } = await run(['images', '--json'], {
      'GET /_/api/images': [{ json: { images: [line], next: 'n' } }],
      'GET /_/api/images?last=n': [{ json: { images: [line] } }],
    })
    expect(JSON.parse(stdout)).toEqual({ images: [line, line] })
  })

  it('of a repository', async () => {
    const image = {
      digest: DIGEST,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      tags: ['1.29', 'latest'],
      platforms: ['linux/amd64', 'linux/arm/v7'],
      size: 2048,
      firstSeen: at,
      isPinned: true,
    }
    const { stdout } = await run(['images', 'show', line.name], {
      [`GET /_/api/images/${line.name}`]: [{ json: { ...line, images: [image], next: DIGEST } }],
      [`GET /_/api/images/${line.name}?last=${encodeURIComponent(DIGEST)}`]: [
        {
          json: { ...line, images: [{ ...image, tags: [], artifactType: 'a/b', isPinned: false }] },
        },
      ],
    })
    expect(stdout.trimEnd().split('\n')).toEqual([
      'name         docker.io/library/nginx',
      'kind         mirrored',
      'size         3.0 MiB',
      'first seen   2026-11-23 02:00:00Z',
      'last pull    2026-11-23 02:00:00Z',
      'pulls        2026-11-23: 4, 2026-11-22: 3',
      '',
      'digest                tags          artifact type   platforms                  size      last read',
      'sha256:aaaaaaaaaaaa   1.29 latest   -               linux/amd64 linux/arm/v7   2.0 KiB   -           pinned',
      'sha256:aaaaaaaaaaaa   -             a/b             linux/amd64 linux/arm/v7   2.0 KiB   -',
    ])
  })

  it('of a repository of nothing but images have no column for what else they are', async () => {
    const artifactType = 'application/vnd.docker.container.image.v1+json'
    const image = { digest: DIGEST, mediaType: 'a/m', artifactType, tags: [], size: 2048 }
    const { stdout } = await run(['images', 'show', line.name], {
      [`GET /_/api/images/${line.name}`]: [{ json: { ...line, images: [image] } }],
    })
    expect(stdout.trimEnd().split('\n').slice(-2)).toEqual([
      'digest                tags   platforms   size      last read',
      'sha256:aaaaaaaaaaaa   -      -           2.0 KiB   -',
    ])
  })

  it.each([
    { artifactType: 'application/vnd.oci.image.config.v1+json', want: ['type     a/m'] },
    { artifactType: 'a/sbom', want: ['type            a/m', 'artifact type   a/sbom'] },
  ])('say what they are: $artifactType', async ({ artifactType, want }) => {
    const lists = { tags: [], platforms: [], layers: [], history: [], referrers: [] }
    const json = { digest: DIGEST, mediaType: 'a/m', artifactType, size: 2048, ...lists }
    const { stdout } = await run(['images', 'show', `${line.name}:1`], {
      [`GET /_/api/images/${line.name}:1`]: [{ json }],
    })
    expect(stdout.split('\n').filter((each) => each.includes('type'))).toEqual(want)
  })

  it('of a tag: platforms, layers, history, and what refers to it', async () => {
    const manifest = {
      name: line.name,
      kind: 'mirrored',
      digest: DIGEST,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      tags: ['1.29'],
      size: 2048,
      isPinned: false,
      platforms: [
        { platform: 'linux/amd64', digest: DIGEST, size: 1024, isHere: true },
        { digest: DIGEST, isHere: false, isAttestation: true },
      ],
      config: { created: at, platform: 'linux/amd64', entrypoint: ['/run'], cmd: ['-v'] },
      layers: [{ digest: DIGEST, mediaType: 'application/x', size: 1024, isHere: false }],
      history: [{ created: at, createdBy: 'RUN  echo \u001B[31mred', isEmpty: false }],
      referrers: [{ digest: DIGEST, artifactType: 'a/sig', size: 512, isSignature: true }],
      isCut: true,
    }
    const asked = `GET /_/api/images/${line.name}:1.29`
    const { stdout } = await run(['images', 'show', `${line.name}:1.29`], {
      [asked]: [{ json: manifest }],
    })
    expect(stdout.trimEnd().split('\n')).toEqual([
      `digest     ${DIGEST}`,
      'type       application/vnd.oci.image.manifest.v1+json',
      'tags       1.29',
      'size       2.0 KiB',
      'pinned     no',
      'created    2026-11-23 02:00:00Z',
      'platform   linux/amd64',
      'command    /run -v',
      '',
      'platforms',
      `  linux/amd64   ${DIGEST}   1.0 KiB`,
      `  attestation   ${DIGEST}   ?         not here`,
      '',
      'layers',
      `  ${DIGEST}   1.0 KiB   application/x   not here`,
      '',
      'history',
      '  2026-11-23 02:00:00Z   RUN echo [31mred',
      '',
      'referrers',
      `  ${DIGEST}   signature   a/sig   512 B`,
      '',
      '… and more than is shown',
    ])
  })

  it('of which there are none', async () => {
    const script = { 'GET /_/api/images': [{ json: { images: [] } }] }
    expect((await run(['images'], script)).stdout).toBe('There is nothing.\n')
  })
})

describe('upstreams', () => {
  it('are a line for each login', async () => {
    const at = '2026-11-23T02:00:00.000Z'
    const upstreams = [
      {
        host: 'docker.io',
        paused: false,
        gates: [
          {
            credential: 0,
            budget: { limit: 200, remaining: 7, window: 21_600, at },
            limitedUntil: at,
            nextAttempt: at,
            lastError: { at, reason: 'status 429' },
          },
          { credential: null, restingUntil: at },
        ],
      },
      { host: 'quay.io', paused: true, gates: [{ credential: null }] },
      { host: 'ghcr.io', paused: false, gates: [{ credential: null }] },
    ]
    const script = { 'GET /_/api/upstreams': [{ json: { upstreams } }] }
    const { code, stdout } = await run(['upstreams'], script)
    expect({ code, lines: stdout.trimEnd().split('\n') }).toEqual({
      code: 0,
      lines: [
        'host        login     budget     state     next attempt           last error',
        'docker.io   login 1   7 of 200   limited   2026-11-23 02:00:00Z   2026-11-23 02:00:00Z status 429',
        'docker.io   nobody    -          rests     -                      -',
        'quay.io     nobody    -          paused    -                      -',
        'ghcr.io     nobody    -          well      -                      -',
      ],
    })
  })
})

describe('storage', () => {
  it('is what was measured, against the target', async () => {
    const json = {
      measuredAt: '2026-11-23T02:00:00.000Z',
      bytes: 3_145_728,
      target: 1_073_741_824,
      hosts: [{ host: 'docker.io', bytes: 3_145_728, objects: 12 }],
    }
    const { stdout } = await run(['storage'], { 'GET /_/api/storage': [{ json }] })
    expect(stdout.trimEnd().split('\n')).toEqual([
      'measured   2026-11-23 02:00:00Z',
      'mirrored   3.0 MiB',
      'target     1.0 GiB',
      'low        -',
      '',
      'host        size      objects',
      'docker.io   3.0 MiB   12',
    ])
  })

  it('is not known before somebody has measured', async () => {
    const script = { 'GET /_/api/storage': [{ json: { bytes: 0, hosts: [] } }] }
    expect((await run(['storage'], script)).stdout).toMatch(/^Nobody has measured yet: /)
  })
})

/** Whether this machine can play a terminal (`script` of util-linux). */
function hasTerminals(): boolean {
  return spawnSync('script', ['--version']).status === 0
}

/** What a program writes to a terminal of 80 columns. */
async function inTerminal(command: readonly string[]) {
  const line = `stty cols 80; ${command.map((word) => `'${word}'`).join(' ')}`
  const child = spawn('script', ['-qec', line, '/dev/null'], {
    cwd: folder,
    env: { ...process.env, TERM: 'xterm', ENTREPOT_SECRET: `root:${SECRET}` },
  })
  let stdout = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stdin.end()
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stdout }
}
