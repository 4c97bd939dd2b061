// `/_/api/jobs`: an administrator starts jobs, sees how they stand and ends them; who is none, what is refused and why,
// and that the audit has every order.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { JOB_KINDS } from '../../src/jobs/job.ts'
import { accounts, basic, bearer, granting } from '../support/accounts.ts'
import { refusalOf } from '../support/answer.ts'
import { DAY, MINUTE, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import { OPEN } from '../support/hosted-registry.ts'
import { goOnline } from '../support/internet.ts'
import { isolate } from '../support/isolate.ts'
import type { Isolate } from '../support/isolate.ts'
import { broken } from '../support/operations.ts'

const JOBS = '/_/api/jobs'
/** An image of nobody: such a purge is over in a moment. */
const PURGE = { kind: 'purge', target: 'one.test/a/b:v1' }

type Members = Readonly<Record<string, unknown>>

interface Job extends Members {
  readonly id: string
  readonly state: string
}

let clock: Clock
let settings: Readonly<Record<string, unknown>>
let registry: Isolate

beforeEach(async () => {
  vi.spyOn(console, 'log').mockReturnValue()
  clock = stopClock()
  goOnline({})
  const made = await accounts({
    root: [granting('**', 'admin')],
    writer: [granting('**', 'pull', 'push', 'delete')],
  })
  settings = { HOSTED: OPEN.HOSTED, ANONYMOUS: [granting('**', 'admin')], ...made }
  registry = isolate(settings)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** A request of the administrator, or of somebody else. */
function ask(
  method: string,
  path: string,
  {
    body,
    authorization = basic('root'),
    type = 'application/json',
    worker = registry,
  }: {
    readonly body?: unknown
    readonly authorization?: string
    readonly type?: string
    readonly worker?: Isolate
  } = {},
): Promise<Response> {
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
  return worker.fetch(path, {
    method,
    headers: {
      ...(authorization !== '' && { authorization }),
      ...(text !== undefined && { 'content-type': type }),
    },
    ...(text !== undefined && { body: text }),
  })
}

async function shown(answer: Response, status = 200): Promise<Members> {
  const text = await answer.text()
  expect([answer.status, text]).toEqual([status, expect.any(String)])
  expect(answer.headers.get('content-type')).toBe('application/json')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  return JSON.parse(text)
}

async function start(body: object = PURGE): Promise<Job> {
  return (await shown(await ask('POST', JOBS, { body }), 202)) as Job
}

async function get(id: string): Promise<Job> {
  return (await shown(await ask('GET', `${JOBS}/${id}`))) as Job
}

async function list(
  query = '',
): Promise<{ readonly jobs: readonly Job[]; readonly next?: string }> {
  const { jobs, next } = await shown(await ask('GET', JOBS + query))
  return { jobs: jobs as Job[], ...(typeof next === 'string' && { next }) }
}

/** Waits until a job is over, which takes a few alarms. */
async function over(id: string): Promise<Job> {
  let job = await get(id)
  for (let round = 0; round < 200 && ['running', 'waiting'].includes(job.state); round++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    job = await get(id)
  }
  return job
}

/** A job that waits, and whose object was written by nobody's step. */
async function hold(): Promise<Job> {
  const job = await start()
  await over(job.id)
  const stub = env.JOB.getByName(job.id)
  // Its end is put in order first: what is written below must come last.
  await vi.waitFor(async () => {
    const left = await runInDurableObject(stub, (_, { storage }) => storage.kv.get('unsettled'))
    expect(left).toBeUndefined()
  })
  await runInDurableObject(stub, async (_, { storage }) => {
    const { endedAt: __, ...status } = storage.kv.get<Members>('status') ?? {}
    storage.kv.put('status', { ...status, state: 'waiting', until: clock.now() + DAY })
    const target = { scope: 'repository', name: { host: 'one.test', repository: 'a/b' } }
    storage.kv.put('state', { target, secret: 'canary' })
    await storage.setAlarm(clock.now() + DAY)
  })
  // On the list it is still what it was.
  return get(job.id)
}

async function audit(): Promise<readonly string[]> {
  const { audit: entries } = await shown(await ask('GET', '/_/api/audit'))
  return (entries as readonly Readonly<Record<string, string>>[])
    .filter(({ what }) => what !== 'rotate-key')
    .map(({ by, what, name }) => `${by} ${what} ${name}`)
}

describe('an administrator', () => {
  it('starts a job, sees it end, and reads what it has done', async () => {
    const job = await start()
    expect(job).toEqual({
      id: expect.stringMatching(/^purge-[a-z0-9]+-[0-9a-f]{8}$/),
      kind: 'purge',
      title: 'one.test/a/b:v1',
      by: 'root',
      state: 'running',
      createdAt: new Date(clock.now()).toISOString(),
      progress: { done: 0, unit: '' },
      note: '',
      result: {},
    })
    const ended = await over(job.id)
    expect(ended).toMatchObject({
      id: job.id,
      state: 'done',
      endedAt: new Date(clock.now()).toISOString(),
    })
    const report = await shown(await ask('GET', `${JOBS}/${job.id}/report`))
    expect(report).toEqual({ items: expect.any(Array) })
    expect(await list()).toEqual({ jobs: [ended] })
  })

  it('has every order in the audit, with what it was', async () => {
    const job = await hold()
    await shown(await ask('DELETE', `${JOBS}/${job.id}`))
    expect(await audit()).toEqual([`root cancel ${job.id}`, 'root purge one.test/a/b:v1'])
  })

  it('ends a job, once', async () => {
    const { id } = await hold()
    clock.advance(MINUTE)
    const ended = await shown(await ask('DELETE', `${JOBS}/${id}`))
    const endedAt = new Date(clock.now()).toISOString()
    expect(ended).toMatchObject({ id, state: 'cancelled', endedAt, note: '' })
    expect(ended).not.toHaveProperty('until')
    clock.advance(MINUTE)
    expect(await shown(await ask('DELETE', `${JOBS}/${id}`))).toEqual(ended)
    expect(await get(id)).toEqual(ended)
    expect((await list()).jobs).toEqual([ended])
    expect(await audit()).toHaveLength(2)
  })

  it('sees until when a job waits, and nothing of its state', async () => {
    const job = await hold()
    expect(job).toMatchObject({
      state: 'waiting',
      until: new Date(clock.now() + DAY).toISOString(),
    })
    expect(JSON.stringify([job, await list()])).not.toContain('canary')
  })

  it('sees jobs a page at a time, the newest first', async () => {
    const ids: string[] = []
    for (let n = 0; n < 52; n++) {
      clock.advance(1)
      ids.unshift((await start({ kind: 'purge', target: `one.test/a/b:v${n}` })).id)
    }
    const first = await list()
    const second = await list(`?cursor=${first.next}`)
    expect([first.jobs.length, second.jobs.length, second.next]).toEqual([50, 2, undefined])
    expect([...first.jobs, ...second.jobs].map(({ id }) => id)).toEqual(ids)
  })

  it('sees a report a page at a time', async () => {
    const { id } = await hold()
    await runInDurableObject(env.JOB.getByName(id), async (_, { storage: { sql } }) => {
      sql.exec('DELETE FROM job_report')
      for (let n = 1; n <= 1001; n++) {
        const item = JSON.stringify({ subject: `a:${n}`, outcome: 'removed' })
        sql.exec('INSERT INTO job_report VALUES (?, ?)', n, item)
      }
    })
    const first = await shown(await ask('GET', `${JOBS}/${id}/report`))
    expect([(first['items'] as unknown[]).length, first['next']]).toEqual([1000, 1001])
    expect(await shown(await ask('GET', `${JOBS}/${id}/report?from=1001`))).toEqual({
      items: [{ subject: 'a:1001', outcome: 'removed' }],
    })
  })

  it('gets no body for HEAD', async () => {
    const { id } = await start()
    for (const path of [JOBS, `${JOBS}/${id}`, `${JOBS}/${id}/report`]) {
      const answer = await ask('HEAD', path)
      expect([answer.status, await answer.text()]).toEqual([200, ''])
      expect(Number(answer.headers.get('content-length'))).toBeGreaterThan(10)
    }
  })
})

describe('an order is refused', () => {
  it.each<{
    readonly what: string
    readonly body: unknown
    readonly field?: string
    readonly code?: string
  }>([
    { what: 'without a kind', body: {}, field: 'kind', code: 'MISSING_REQUIRED_FIELD' },
    { what: 'of another kind', body: { kind: 'destroy' }, field: 'kind' },
    { what: 'of a kind of JavaScript', body: { kind: 'constructor' }, field: 'kind' },
    { what: 'whose kind is no text', body: { kind: ['purge'] }, field: 'kind' },
    { what: 'that is no object', body: [PURGE], field: '' },
    { what: 'that is no JSON', body: '{"kind":', field: '' },
    { what: 'with a key twice', body: '{"kind":"purge","kind":"purge"}', field: '' },
    {
      what: 'without what its kind needs',
      body: { kind: 'purge' },
      field: 'target',
      code: 'MISSING_REQUIRED_FIELD',
    },
    { what: 'with a wrong target', body: { kind: 'purge', target: 'a b' }, field: 'target' },
    { what: 'with more than its kind knows', body: { ...PURGE, force: true }, field: 'force' },
    { what: 'of nothing', body: { kind: 'prefetch', images: [] }, field: 'images' },
  ])('$what', async ({ body, field, code = 'UNSUPPORTED_VALUE' }) => {
    const answer = await ask('POST', JOBS, { body })
    const text = await answer.clone().text()
    expect(await refusalOf(answer)).toBe(`400 ${code}`)
    expect(JSON.parse(text)).toMatchObject({ errors: [{ detail: { field } }] })
    expect([await audit(), (await list()).jobs]).toEqual([[], []])
  })

  it('that is too long', async () => {
    const body = { kind: 'purge', target: 'x'.repeat(70_000) }
    expect(await refusalOf(await ask('POST', JOBS, { body }))).toBe('413 SIZE_INVALID')
  })

  it('that a form of another site could send', async () => {
    const answer = await ask('POST', JOBS, { body: PURGE, type: 'text/plain' })
    expect(await refusalOf(answer)).toBe('400 UNSUPPORTED_VALUE')
    expect(await audit()).toEqual([])
  })

  it.each(JOB_KINDS)('where it is no order, and not in silence: %s', async (kind) => {
    const answer = await ask('POST', JOBS, { body: { kind, nothing: true } })
    expect(await refusalOf(answer)).toMatch(/^400 (?:UNSUPPORTED_VALUE|MISSING_REQUIRED_FIELD)$/)
  })
})

describe('there is no', () => {
  it.each([
    ['GET', `${JOBS}/none`, '404 NAME_UNKNOWN'],
    ['DELETE', `${JOBS}/none`, '404 NAME_UNKNOWN'],
    ['GET', `${JOBS}/none/report`, '404 NAME_UNKNOWN'],
    ['GET', `${JOBS}/None`, '404 NAME_UNKNOWN'],
    ['GET', `${JOBS}/none/`, '404 NAME_UNKNOWN'],
    ['GET', `${JOBS}/`, '404 NAME_UNKNOWN'],
    ['GET', `${JOBS}/none/report/1`, '404 NAME_UNKNOWN'],
    ['GET', `${JOBS}/none/report?from=x`, '400 UNSUPPORTED_VALUE'],
    ['GET', `${JOBS}/none/report?from=-1`, '400 UNSUPPORTED_VALUE'],
    ['GET', `${JOBS}/none/report?from=1e3`, '400 UNSUPPORTED_VALUE'],
    ['GET', `${JOBS}?cursor=x`, '400 UNSUPPORTED_VALUE'],
    ['GET', `${JOBS}?cursor=`, '400 UNSUPPORTED_VALUE'],
  ])('%s %s: %s', async (method, path, refusal) => {
    expect(await refusalOf(await ask(method, path))).toBe(refusal)
    expect(await audit()).toEqual([])
  })

  it.each([
    ['PUT', JOBS, 'GET, HEAD, POST'],
    ['DELETE', JOBS, 'GET, HEAD, POST'],
    ['POST', `${JOBS}/none`, 'GET, HEAD, DELETE'],
    ['PATCH', `${JOBS}/none`, 'GET, HEAD, DELETE'],
    ['DELETE', `${JOBS}/none/report`, 'GET, HEAD'],
  ])('%s of %s, but %s', async (method, path, allowed) => {
    const answer = await ask(method, path)
    expect(answer.headers.get('allow')).toBe(allowed)
    expect(await refusalOf(answer)).toBe('405 UNSUPPORTED')
  })
})

describe('nobody but an administrator', () => {
  it.each<{ readonly who: string; readonly authorization: () => string | Promise<string> }>([
    // `ANONYMOUS` grants admin to everybody here: an order must have somebody who gave it.
    { who: 'anybody', authorization: () => '' },
    { who: 'an account without the grant', authorization: () => basic('writer') },
    { who: 'a wrong secret', authorization: () => basic('root', 'wrong') },
    {
      who: 'a token of the administrator',
      authorization: () => bearer(registry, ['registry:catalog:*'], basic('root')),
    },
  ])('sees or does anything: not $who', async ({ authorization }) => {
    const { id } = await hold()
    const shows = await authorization()
    const requests = [
      ['GET', JOBS],
      ['POST', JOBS],
      ['GET', `${JOBS}/${id}`],
      ['DELETE', `${JOBS}/${id}`],
      ['GET', `${JOBS}/${id}/report`],
      ['GET', `${JOBS}/none`],
    ] as const
    for (const [method, path] of requests) {
      const body = method === 'POST' ? PURGE : undefined
      const answer = await ask(method, path, { authorization: shows, body })
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /)
      expect([path, await refusalOf(answer)]).toEqual([path, '401 UNAUTHORIZED'])
    }
    expect((await get(id)).state).toBe('waiting')
    expect(await audit()).toHaveLength(1)
  })
})

describe('while something is away', () => {
  it.each([
    ['JOB', 'GET', `${JOBS}/none`],
    ['JOB', 'DELETE', `${JOBS}/none`],
    ['JOB', 'GET', `${JOBS}/none/report`],
    ['BLOBS', 'GET', JOBS],
  ])('so is the answer: %s, %s %s', async (binding, method, path) => {
    const away = broken(binding === 'BLOBS' ? 'store' : 'objects')
    const worker = isolate({ ...settings, [binding]: away })
    const answer = await ask(method, path, { worker })
    expect(answer.headers.get('retry-after')).toBe('10')
    expect(await refusalOf(answer)).toBe('503 UNKNOWN')
  })

  it('nothing is begun that nobody could note', async () => {
    const worker = isolate({ ...settings, AUTHORITY: broken('objects') })
    const answer = await ask('POST', JOBS, { worker, body: PURGE })
    expect(answer.status).toBe(503)
    expect((await list()).jobs).toEqual([])
  })

  it('a job is listed as it stood when it began', async () => {
    const { id } = await start()
    const worker = isolate({ ...settings, JOB: broken('objects') })
    const { jobs } = await shown(await ask('GET', JOBS, { worker }))
    expect(jobs).toMatchObject([{ id, title: 'one.test/a/b:v1' }])
  })

  it('a job that was listed and never began is no longer shown as one that runs', async () => {
    const { id } = await start()
    await over(id)
    // Its object has nothing, and the list what was put there before it began.
    await runInDurableObject(env.JOB.getByName(id), (__, { storage }) => storage.deleteAll())
    const { objects } = await env.BLOBS.list({ prefix: 'jobs/', include: ['customMetadata'] })
    const [{ key, customMetadata } = expect.fail('it is not listed')] = objects
    const status: Members = JSON.parse(decodeURIComponent(customMetadata?.['status'] ?? ''))
    const { endedAt: _, ...begun } = { ...status, state: 'running' } as Members
    await env.BLOBS.put(key, new Uint8Array(), {
      customMetadata: { status: encodeURIComponent(JSON.stringify(begun)) },
    })
    expect((await list()).jobs).toMatchObject([{ id, state: 'running' }])
    clock.advance(2 * MINUTE)
    expect((await list()).jobs).toMatchObject([{ id, state: 'failed', note: 'it never began' }])
  })
})
