// The operation budget (design §7), counted: what requests cost in KV, R2, objects and upstream requests, by the spans
// of a real `wrangler dev`. First an image is pulled cold; then the upstream is unplugged, and a new isolate serves.

import { setTimeout } from 'node:timers/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { ask } from './operation-budget-client.ts'
import type { Ask } from './operation-budget-client.ts'
import { ageHint } from './operation-budget-server.ts'
import { LOGIN, STREAMED, Stage } from './operation-budget-stage.ts'

/** Starting `wrangler dev` takes two seconds, on a busy machine many. */
const PATIENCE = 120_000
const CLIENTS = 8
const HOUR = 60 * 60 * 1000
const RANGE = { range: 'bytes=0-99' }

/** Operations as the platform names them. */
const KV_READ = 'kv_getWithMetadata'
const R2_GET = 'r2_get'
const R2_HEAD = 'r2_head'

const stage = new Stage()

// Where every blob is streamed, since storage does not take the signature.
beforeAll(() => stage.open({ S3_SECRET_ACCESS_KEY: 'another' }), PATIENCE)
afterAll(() => stage.close(), PATIENCE)

/** One request of a row, and all that it costs. */
interface Step extends Ask {
  readonly status?: number
  readonly wants: readonly string[]
  /** What was read, told by an isolate after the answer: once an hour for each manifest and blob. */
  readonly reads?: number
  /** Whether accounts, keys, switches and purges are read; `may`, as for any mirrored manifest: where it is time again. */
  readonly lookups?: 0 | 1 | 'may'
}

interface Row {
  readonly name: string
  readonly before?: () => Promise<unknown>
  readonly steps: () => readonly Step[]
}

/** What an isolate may hand over: once in so long (milliseconds). */
const HAND_OVER = 10_000
/** How old what is known of purges may be (milliseconds). */
const LOOKUP = 45_000
const MIRRORED_MANIFEST = /^\/v2\/hub\.test\/.*\/manifests\//

async function expectSteps({ before, steps }: Pick<Row, 'before' | 'steps'>): Promise<void> {
  await before?.()
  const startedAt = Date.now()
  let handOvers = 0
  let looked = 0
  for (const { status = 200, wants, reads = 0, lookups: wanted, ...request } of steps()) {
    const answer = await stage.count(request)
    handOvers += answer.handOvers
    looked += answer.lookups
    const lookups = wanted ?? (MIRRORED_MANIFEST.test(request.path) ? 'may' : 0)
    const cost = { counted: answer.counted, reads: answer.reads }
    expect([request, answer.status, cost]).toEqual([request, status, { counted: wants, reads }])
    if (lookups === 'may')
      expect([request, [0, 1]]).toEqual([request, expect.arrayContaining([answer.lookups])])
    else expect([request, answer.lookups]).toEqual([request, lookups])
  }
  // Outside the budget, as what was read is, and never more often.
  expect(handOvers).toBeLessThanOrEqual(1 + (Date.now() - startedAt) / HAND_OVER)
  expect(looked).toBeLessThanOrEqual(1 + (Date.now() - startedAt) / LOOKUP)
}

function manifest(repository: string, reference = 'v1'): string {
  return `/v2/${repository}/manifests/${reference}`
}

describe('a cold pull', () => {
  it(`by ${CLIENTS} clients at once: 1 token, 1 GET of each manifest and each blob`, async () => {
    const path = manifest('hub.test/app/cold')
    const clients = Array.from({ length: CLIENTS }, async () => {
      expect((await ask(stage.server.url, { method: 'HEAD', path })).status).toBe(200)
      await stage.pull('hub.test/app/cold')
    })
    await Promise.all(clients)
    const asked = stage.upstream.requests.map(({ method, kind }) => `${method} ${kind}`)
    expect(asked.toSorted()).toEqual([
      // How this upstream authenticates, asked once an hour.
      'GET base',
      ...stage.blobs.map(() => 'GET blob'),
      // The index, and the image of one platform.
      'GET manifest',
      'GET manifest',
      'GET token',
    ])
  })

  it('is seen by the spans, with what objects do', async () => {
    const { counted, reads } = await stage.count({ path: manifest('hub.test/app/tag') })
    expect(counted).toEqual(
      expect.arrayContaining([KV_READ, 'kv_put', 'object authorize', 'object tag', 'r2_put']),
    )
    expect(counted).toContain(`fetch GET ${stage.upstreamURL}/v2/app/tag/manifests/v1`)
    expect(reads).toBe(1)
  })
})

describe('while clients cannot read from storage, an isolate that has found out', () => {
  beforeAll(() => stage.fill(), PATIENCE)

  it.each<Row>([
    {
      name: 'streams a mirrored blob by 1 R2 operation',
      before: () => ask(stage.server.url, { path: stage.blob('hub.test/app/plain') }),
      steps: () => [{ path: stage.blob('hub.test/app/plain'), wants: [R2_GET] }],
    },
    {
      name: 'streams a hosted blob by 1 object call and 1 R2 operation',
      before: () => ask(stage.server.url, { path: stage.blob('hosted/plain') }),
      steps: () => [{ path: stage.blob('hosted/plain'), wants: ['object blob', R2_GET] }],
    },
  ])('$name', expectSteps)
})

describe('with the upstream unplugged, an isolate that has served nothing', () => {
  let token: Readonly<Record<string, string>>

  beforeAll(async () => {
    token = { authorization: `Bearer ${await stage.token()}` }
    await stage.restartUnplugged()
  }, PATIENCE)

  it('a token: 1 object call for the keys, then nothing for a minute', async () => {
    const path = manifest('vault.test/app/private')
    const digest = manifest('vault.test/app/private', stage.digest())
    const blob = stage.blob('vault.test/app/private')
    await expectSteps({
      steps: () => [
        { path, headers: token, wants: [KV_READ], reads: 1, lookups: 1 },
        { path, headers: token, wants: [] },
        { path: digest, headers: token, wants: [] },
        { path: blob, headers: { ...token, ...STREAMED }, wants: [R2_GET], reads: 1 },
        // Without it, and with one for another repository, nothing is looked for.
        { path, status: 401, wants: [] },
        { path: blob, status: 401, wants: [] },
        { path: manifest('vault.test/app/plain'), headers: token, status: 401, wants: [] },
        // What anybody may asks for no login, and looks at none.
        { path: manifest('hosted/none'), headers: LOGIN, status: 404, wants: ['object manifest'] },
      ],
    })
  })

  it.each<Row>([
    {
      name: 'a mirrored manifest, by tag: 1 KV read, then nothing',
      steps: () => [
        { path: manifest('hub.test/app/tag'), wants: [KV_READ], reads: 1 },
        { path: manifest('hub.test/app/tag'), wants: [] },
        { path: manifest('hub.test/app/tag'), method: 'HEAD', wants: [] },
        { path: manifest('hub.test/app/tag', stage.digest()), wants: [] },
      ],
    },
    {
      name: 'a mirrored manifest, by digest: 1 KV read, then nothing',
      steps: () => [
        { path: manifest('hub.test/app/digest', stage.digest()), wants: [KV_READ], reads: 1 },
        { path: manifest('hub.test/app/digest', stage.digest()), wants: [] },
      ],
    },
    {
      name: 'HEAD of a mirrored manifest, by tag: the same',
      steps: () => [
        { path: manifest('hub.test/app/head-tag'), method: 'HEAD', wants: [KV_READ], reads: 1 },
        { path: manifest('hub.test/app/head-tag'), method: 'HEAD', wants: [] },
      ],
    },
    {
      name: 'HEAD of a mirrored manifest, by digest: the same',
      steps: () => {
        const path = manifest('hub.test/app/head-digest', stage.digest())
        return [
          { path, method: 'HEAD', wants: [KV_READ], reads: 1 },
          { path, method: 'HEAD', wants: [] },
        ]
      },
    },
    {
      name: 'a tag that KV has from longer ago than its TTL: 1 object call besides, then nothing',
      before: () => ageHint(stage.server, 'tag/hub.test/app/aged:v1', 2 * HOUR),
      steps: () => [
        {
          path: manifest('hub.test/app/aged'),
          wants: [KV_READ, 'object knownTag'],
          reads: 1,
          lookups: 'may',
        },
        { path: manifest('hub.test/app/aged'), wants: [] },
      ],
    },
    {
      name: 'a hosted manifest: 1 object call and 1 R2 read, then the call',
      steps: () => [
        { path: manifest('hosted/plain'), wants: ['object manifest', R2_GET], reads: 1 },
        { path: manifest('hosted/plain'), wants: ['object manifest'] },
        { path: manifest('hosted/plain', stage.digest('hosted')), wants: ['object manifest'] },
      ],
    },
    {
      name: 'HEAD of a hosted manifest: the same',
      steps: () => [
        {
          path: manifest('hosted/head'),
          method: 'HEAD',
          wants: ['object manifest', R2_GET],
          reads: 1,
        },
        { path: manifest('hosted/head'), method: 'HEAD', wants: ['object manifest'] },
      ],
    },
    {
      name: 'a mirrored blob, streamed: 1 R2 operation, every time',
      steps: () => {
        const path = stage.blob('hub.test/app/plain')
        const etag = `"${path.slice(path.lastIndexOf('/') + 1)}"`
        return [
          { path, headers: STREAMED, wants: [R2_GET], reads: 1 },
          { path, headers: STREAMED, wants: [R2_GET] },
          { path, headers: { ...STREAMED, ...RANGE }, status: 206, wants: [R2_GET] },
          { path, method: 'HEAD', wants: [R2_HEAD] },
          { path, headers: { 'if-none-match': etag }, status: 304, wants: [R2_HEAD] },
        ]
      },
    },
    {
      name: 'a hosted blob, streamed: 1 object call and 1 R2 operation, every time',
      steps: () => {
        const path = stage.blob('hosted/plain')
        return [
          { path, headers: STREAMED, wants: ['object blob', R2_GET], reads: 1 },
          { path, headers: STREAMED, wants: ['object blob', R2_GET] },
          { path, method: 'HEAD', wants: ['object blob', R2_HEAD] },
        ]
      },
    },
  ])('$name', expectSteps)

  it('reads one byte by the first redirect of a minute, and none by the next', async () => {
    const path = stage.blob('hub.test/app/plain')
    const answers = [await stage.count({ path }), await stage.count({ path })]
    expect(answers.map(({ status, checks }) => [status, checks])).toEqual([
      [307, 1],
      [307, 0],
    ])
  })

  it.each<Row>([
    {
      name: 'a mirrored blob, redirected: 1 R2 operation, every time',
      steps: () => [
        {
          path: stage.blob('hub.test/app/plain'),
          status: 307,
          wants: [R2_HEAD],
          lookups: 'may',
        },
        { path: stage.blob('hub.test/app/plain'), headers: RANGE, status: 307, wants: [R2_HEAD] },
      ],
    },
    {
      name: 'a hosted blob, redirected: 1 object call and 1 R2 operation, then the call',
      steps: () => [
        {
          path: stage.blob('hosted/plain'),
          status: 307,
          wants: ['object blob', R2_HEAD],
          lookups: 'may',
        },
        { path: stage.blob('hosted/plain'), status: 307, wants: ['object blob'] },
      ],
    },
  ])('$name', expectSteps)

  it(
    'hands over what it has counted by 1 object call in 10 s, and none in between',
    async () => {
      const path = manifest('hub.test/app/plain')
      const next = async (): Promise<number> => (await stage.count({ path })).handOvers
      await setTimeout(HAND_OVER)
      // The first request after so long, whichever row sent the one before it.
      expect(await next()).toBe(1)
      expect([await next(), await next(), await next()]).toEqual([0, 0, 0])
      await setTimeout(HAND_OVER)
      expect(await next()).toBe(1)
    },
    PATIENCE,
  )

  it('gives a pull the same bytes, and asks the upstream nothing', async () => {
    for (const repository of ['hub.test/app/cold', 'hub.test/app/plain', 'hosted/plain']) {
      await stage.pull(repository)
    }
    expect(stage.upstream.requests).toEqual([])
  })
})
