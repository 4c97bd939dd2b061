// The commands by which a registry is operated, each as a program, against a registry that runs and upstreams that
// count what they are asked. What a registry seldom does is in operation.test.ts.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { pull } from '../../cli/puller.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import { addSample, sampleArtifact, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { Registry } from '../../cli/serve.ts'
import { serve } from '../../cli/serve.ts'
import type { UpstreamListener } from '../../cli/upstream-listener.ts'
import { listenUpstream } from '../../cli/upstream-listener.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import type { RunOptions } from './run-program.ts'
import { runEntrepot } from './run-program.ts'

const APP = 'docker.io/team/app'
const OLD_LOGIN = { username: 'robot', password: 'canary-old' }

const hub = new SampleUpstream()
const old = new SampleUpstream({
  catalog: true,
  authentication: {
    service: 'old',
    accounts: { [OLD_LOGIN.username]: OLD_LOGIN.password },
    anonymous: false,
  },
})

let folder: string
let listeners: readonly UpstreamListener[]
let registry: Registry
let index: SampleManifest

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-operation-'))
  listeners = [await listenUpstream(hub.handle), await listenUpstream(old.handle)]
  const platforms = ['amd64', 'arm64']
  index = await sampleIndex(
    await Promise.all(
      platforms.map((architecture, seed) =>
        sampleImage({ layers: [4096], seed: seed + 1, platform: { os: 'linux', architecture } }),
      ),
    ),
  )
  await addSample(hub, 'team/app', index, '1')
  await addSample(hub, 'team/app', await sampleArtifact({ subject: index.descriptor }))
  for (const [seed, name] of ['one', 'two', 'three', 'slow'].entries()) {
    await addSample(hub, `team/${name}`, await sampleImage({ seed: seed + 5 }), '1')
  }
  await addSample(old, 'team/a', await sampleImage({ seed: 20 }), '1')
  await addSample(old, 'team/b', await sampleImage({ seed: 21 }), '2')
  await addSample(old, 'other/c', await sampleImage({ seed: 22 }), '3')
  registry = await start(0)
})

afterAll(async () => {
  await registry.stop()
  await Promise.all(listeners.map((listener) => listener.close()))
  await rm(folder, { recursive: true, force: true })
})

const state = (): string => join(folder, 'state')

async function start(port: number): Promise<Registry> {
  const upstreams = { 'docker.io': { url: listeners[0]?.url, private: false } }
  return serve({
    host: '127.0.0.1',
    port,
    persistTo: state(),
    vars: {
      UPSTREAMS: JSON.stringify(upstreams),
      HOSTED: '["hosted/**"]',
      ANONYMOUS: '[{"repositories":["**"],"actions":["pull"]}]',
    },
    secrets: false,
    handlesSignals: true,
  })
}

const here = (): string[] => ['--url', registry.url.origin, '--persist-to', state()]

/** What a command prints; it must end well, and no secret may be in it. */
async function entrepot(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await runEntrepot([...args, ...here()], {
    cwd: folder,
    ...options,
  })
  expect(stdout + stderr).not.toContain('canary')
  expect({ args, code, stderr: code === 0 ? '' : stderr + stdout }).toEqual({
    args,
    code: 0,
    stderr: '',
  })
  return stdout
}

/** Its JSON. */
async function json(args: readonly string[], options: RunOptions = {}) {
  return JSON.parse(await entrepot([...args, '--json'], options))
}

/** Blobs and manifests that the hub was asked for since the last time. */
function asked(): { manifests: number; blobs: number } {
  const manifests = hub.count({ kind: 'manifest', method: 'GET' })
  const blobs = hub.count({ kind: 'blob', method: 'GET' })
  hub.forget()
  return { manifests, blobs }
}

const digestAt = async (name: string, tag: string): Promise<string | null> => {
  const url = new URL(`/v2/${name}/manifests/${tag}`, registry.url)
  return (await fetch(url, { method: 'HEAD' })).headers.get('docker-content-digest')
}

const isHere = async (image: string): Promise<boolean> =>
  (await runEntrepot(['images', 'show', image, ...here()])).code === 0

describe('prefetch', () => {
  it('fetches chosen platforms, and what is here already not again', async () => {
    const args = ['prefetch', `${APP}:1`, '--platforms', 'linux/arm64']
    expect(await json(args)).toMatchObject({
      state: 'done',
      report: [{ subject: `${APP}:1`, outcome: 'fetched', digest: index.digest }],
    })
    expect(asked()).toEqual({ manifests: 2, blobs: 2 })
    expect(await json(args)).toMatchObject({ state: 'done', report: [{ outcome: 'present' }] })
    expect(asked()).toEqual({ manifests: 0, blobs: 0 })
  })

  it('fails for an image that there is not, and fetches the others of the list', async () => {
    await writeFile(join(folder, 'list'), 'docker.io/team/none:1\ndocker.io/team/one:1 # ours\n')
    const args = ['prefetch', '--file', 'list', '--json', ...here()]
    const { code, stdout } = await runEntrepot(args, { cwd: folder })
    expect(code).toBe(1)
    expect(JSON.parse(stdout).report).toMatchObject([
      { subject: 'docker.io/team/none:1', outcome: 'failed' },
      { subject: 'docker.io/team/one:1', outcome: 'fetched' },
    ])
    asked()
    await pull(registry.url, 'docker.io/team/one', '1')
    expect(asked()).toEqual({ manifests: 0, blobs: 0 })
  })

  it('is refused for what has no upstream, with the reason', async () => {
    const args = ['prefetch', 'nowhere.example/a:1', ...here()]
    const { code, stderr } = await runEntrepot(args)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^images\[0\]: .*\n$/)
  })

  it('is followed through a restart, to the end that it is given', async () => {
    const heal = hub.fault({
      on: { kind: 'blob', repository: 'team/slow' },
      do: { hangHeaders: true },
    })
    const args = ['prefetch', 'docker.io/team/slow:1']
    const running = runEntrepot([...args, ...here()])
    const isAsked = () => hub.count({ kind: 'blob', repository: 'team/slow' }) > 0
    await expect.poll(isAsked, { timeout: 20_000 }).toBe(true)
    const port = Number(registry.url.port)
    await registry.stop()
    await sleep(1500)
    registry = await start(port)
    const { jobs } = await json(['jobs'])
    await entrepot(['jobs', 'cancel', jobs[0].id])
    heal()
    const { code, stdout, stderr } = await running
    expect(code).toBe(1)
    expect(stderr).toContain('no answer: no registry answers on ')
    expect(stdout).toContain('prefetch docker.io/team/slow:1: cancelled')
  })
})

describe('images', () => {
  it('lists what is here, and asks no upstream', async () => {
    await pull(registry.url, APP, '1')
    asked()
    const { images } = await json(['images', 'TEAM/app', '--kind', 'mirrored'])
    expect(images).toMatchObject([{ name: APP, kind: 'mirrored', tags: 1 }])
    expect(await entrepot(['images'])).toMatch(new RegExp(`^${APP} +mirrored +1 `, 'm'))
    expect(await json(['images', '--kind', 'hosted', 'team/app'])).toEqual({ images: [] })
    expect(asked()).toEqual({ manifests: 0, blobs: 0 })
  })

  it('shows a repository and an image', async () => {
    expect(await json(['images', 'show', APP])).toMatchObject({
      name: APP,
      images: [{ digest: index.digest, tags: ['1'], platforms: ['linux/amd64', 'linux/arm64'] }],
    })
    expect(await entrepot(['images', 'show', APP])).toContain('linux/amd64 linux/arm64')
    expect(await json(['images', 'show', `${APP}:1`])).toMatchObject({
      digest: index.digest,
      platforms: [{ platform: 'linux/amd64' }, { platform: 'linux/arm64' }],
    })
    const child = index.children[0]?.digest ?? ''
    const shown = await entrepot(['images', 'show', `${APP}@${child}`])
    expect(shown).toMatch(/^platform +linux\/amd64$/m)
    expect(shown).toMatch(/^layers\n {2}sha256:/m)
  })

  it('says that something is not here', async () => {
    const { code, stderr } = await runEntrepot(['images', 'show', `${APP}:none`, ...here()])
    expect({ code, lines: stderr.trim().split('\n').length }).toEqual({ code: 1, lines: 1 })
  })
})

describe('pin and refresh', () => {
  it('pins, lists and lets go', async () => {
    const { job } = await json(['pin', 'add', 'docker.io/team/two:1'])
    await entrepot(['jobs', 'follow', job])
    asked()
    await pull(registry.url, 'docker.io/team/two', '1')
    expect(asked()).toEqual({ manifests: 0, blobs: 0 })
    expect((await json(['pin', 'list'])).pins).toMatchObject([{ image: 'docker.io/team/two:1' }])
    expect(await entrepot(['pin', 'list'])).toContain('docker.io/team/two:1   all ')
    expect(await entrepot(['pin', 'remove', 'docker.io/team/two:1'])).toMatch(
      /is pinned no more\n$/,
    )
    expect(await entrepot(['pin', 'list'])).toBe('Nothing is pinned.\n')
    const again = await runEntrepot(['pin', 'remove', 'docker.io/team/two:1', ...here()])
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('is not pinned') })
  })

  it('asks for a tag that has moved, and for all tags of a repository', async () => {
    await pull(registry.url, 'docker.io/team/two', '1')
    const before = await digestAt('docker.io/team/two', '1')
    const now = await addSample(hub, 'team/two', await sampleImage({ seed: 40 }), '1')
    expect(await digestAt('docker.io/team/two', '1')).toBe(before)
    expect(await json(['refresh', 'docker.io/team/two:1'])).toMatchObject({
      outcome: 'changed',
      before,
      digest: now,
    })
    expect(await digestAt('docker.io/team/two', '1')).toBe(now)
    expect(await entrepot(['refresh', 'docker.io/team/two'])).toBe(
      `docker.io/team/two:1: unchanged\n  now     ${now}\n`,
    )
  })
})

describe('purge', () => {
  it('forgets an image, which is asked for again', async () => {
    await pull(registry.url, 'docker.io/team/three', '1')
    expect(await json(['purge', 'docker.io/team/three:1'])).toMatchObject({ state: 'done' })
    expect(await isHere('docker.io/team/three:1')).toBe(false)
    // An isolate hears of a purge within a minute, and at once where something is switched.
    await entrepot(['switches', 'set', 'noRedirect', 'off'])
    asked()
    await pull(registry.url, 'docker.io/team/three', '1')
    expect(asked()).toEqual({ manifests: 1, blobs: 2 })
  })

  it('is refused for what is hosted', async () => {
    const { code, stderr } = await runEntrepot(['purge', 'hosted/app', ...here()])
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^target: .*hosted/),
    })
  })
})

describe('collect and storage', () => {
  it('measures, and removes nothing that was read just now', async () => {
    await pull(registry.url, APP, '1')
    expect(await json(['collect', '--target', '1B', '--low', '0'])).toMatchObject({ state: 'done' })
    expect(await isHere(`${APP}:1`)).toBe(true)
    const { hosts } = await json(['storage'])
    expect(hosts).toMatchObject([{ host: 'docker.io' }])
    expect(await entrepot(['storage'])).toMatch(/^docker\.io +\d+\.\d KiB +\d+$/m)
  })

  it('is refused for a mark above the target of the configuration, which there is not', async () => {
    const { code, stderr } = await runEntrepot(['collect', '--low', '1GiB', ...here()])
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^target: /) })
  })
})

describe('import', () => {
  const from = (): string[] => ['--from', listeners[1]?.url ?? '', '--repositories', 'team/**']
  const env = { ENTREPOT_SOURCE: `${OLD_LOGIN.username}:${OLD_LOGIN.password}` }

  it('copies an image with all that refers to it', async () => {
    expect(await json(['import', `${APP}:1`, 'hosted/app'])).toMatchObject({ state: 'done' })
    expect(await digestAt('hosted/app', '1')).toBe(index.digest)
    const url = new URL(`/v2/hosted/app/referrers/${index.digest}`, registry.url)
    expect(await (await fetch(url)).json()).toMatchObject({ manifests: [{}] })
    await pull(registry.url, 'hosted/app', '1')
  })

  it('copies the repositories of another registry, once', async () => {
    const args = ['import', ...from(), '--to', 'hosted/team']
    const outcomes = async (): Promise<string[]> => {
      const { report } = await json(args, { env })
      return report
        .map((each: { subject: string; outcome: string }) => `${each.subject} ${each.outcome}`)
        .toSorted()
    }
    const all = (outcome: string) => [`hosted/team/a:1 ${outcome}`, `hosted/team/b:2 ${outcome}`]
    expect(await outcomes()).toEqual(all('copied'))
    await pull(registry.url, 'hosted/team/b', '2')
    old.forget()
    expect(await outcomes()).toEqual(all('present'))
    expect(old.count({ kind: 'blob', method: 'GET' })).toBe(0)
  })

  it('fails with the wrong login', async () => {
    const wrong = { ENTREPOT_SOURCE: 'robot:canary-wrong' }
    const args = ['import', ...from(), '--to', 'hosted/x', '--json', ...here()]
    const { code, stdout, stderr } = await runEntrepot(args, { env: wrong })
    expect(code).toBe(1)
    expect(stdout + stderr).not.toContain('canary')
    expect(JSON.parse(stdout)).toMatchObject({ state: 'failed', note: expect.stringMatching(/./) })
  })
})

describe('switches and upstreams', () => {
  it('are turned, and seen', async () => {
    expect(await entrepot(['switches', 'set', 'readOnly', 'on'])).toMatch(/^readOnly +on$/m)
    expect(await json(['switches'])).toMatchObject({ readOnly: true })
    expect(await json(['switches', 'set', 'readOnly', 'off'])).toMatchObject({ readOnly: false })
    expect(await json(['switches', 'pause', 'docker.io'])).toMatchObject({ paused: ['docker.io'] })
    expect(await entrepot(['upstreams'])).toMatch(/^docker\.io +nobody +- +paused /m)
    expect(await json(['switches', 'resume', 'docker.io'])).toMatchObject({ paused: [] })
    const unknown = await runEntrepot(['switches', 'pause', 'nowhere.example', ...here()])
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringMatching(/^paused/) })
  })
})

describe('backup and restore', () => {
  it('take away and bring back', async () => {
    const made = await json(['backup', '--out', 'backup'])
    const id = made.result.export
    expect((await readFile(join(folder, 'backup'), 'utf8')).split('\n')[0]).toContain(id)
    expect((await json(['backup', 'list'])).exports).toMatchObject([{ id, nightly: false }])
    expect(await entrepot(['backup', 'list'])).toContain(`${id}   `)
    expect(await json(['restore', id])).toMatchObject({ state: 'done' })
    await entrepot(['backup', 'remove', id])
    expect(await json(['backup', 'list'])).toEqual({ exports: [] })
    expect(await json(['restore', 'backup'])).toMatchObject({ state: 'done', title: id })
    expect((await json(['backup', 'list'])).exports).toMatchObject([{ id }])
    const none = await runEntrepot(['restore', 'export-of-nothing', '--json', ...here()])
    expect(none.code).toBe(1)
  })
})

describe('jobs', () => {
  it('are listed and shown, and one that has ended is ended already', async () => {
    const { jobs } = await json(['jobs', '--all'])
    expect(jobs.length).toBeGreaterThan(8)
    const { id } = jobs.find((job: { kind: string }) => job.kind === 'purge')
    expect(await json(['jobs', 'show', id])).toMatchObject({ id, report: [{}, {}, {}] })
    expect(await entrepot(['jobs', 'cancel', id])).toContain(
      `the job ${id} had ended already\npurge docker.io/team/three:1: done`,
    )
    const none = await runEntrepot(['jobs', 'show', 'purge-none', ...here()])
    expect(none).toMatchObject({ code: 1, stderr: 'there is no job purge-none\n' })
  })

  it('are ended, and nobody has to wait', async () => {
    const heal = hub.fault({ on: { kind: 'manifest' }, do: { hangHeaders: true } })
    await addSample(hub, 'team/hung', await sampleImage({ seed: 50 }), '1')
    const id = (await entrepot(['prefetch', 'docker.io/team/hung:1', '--detach'])).trim()
    expect(await json(['jobs', 'cancel', id])).toMatchObject({ id, state: 'cancelled' })
    heal()
    const { code, stdout } = await runEntrepot(['jobs', 'follow', id, ...here()])
    expect(code).toBe(1)
    expect(stdout).toContain('prefetch docker.io/team/hung:1: cancelled')
  })
})
