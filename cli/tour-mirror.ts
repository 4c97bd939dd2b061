// The chapters of the tour about what is mirrored: it is pulled, seen, fetched ahead, kept, asked for anew, forgotten, and
// held in its size.

import { setTimeout as sleep } from 'node:timers/promises'

import type { Answer } from './admin-answer.ts'
import { pull } from './puller.ts'
import { formatBytes } from './quantity.ts'
import type { TourGuide } from './tour-guide.ts'
import { rebuildNginx } from './tour-images.ts'
import { BUDGET, LOW_BYTES } from './tour-stage.ts'
import type { TourStage } from './tour-stage.ts'

const NGINX = 'docker.io/library/nginx'
const ALPINE = 'docker.io/library/alpine'
const REDIS = 'docker.io/library/redis'
const IDLE = 'docker.io/library/idle'

/** A cold pull asks the upstream, a warm one nobody. */
export async function pullsThrough(guide: TourGuide, stage: TourStage): Promise<void> {
  stage.asked()
  const cold = await pull(stage.url, NGINX, '1.29')
  guide.say(`a cold pull of ${NGINX}:1.29 moved ${formatBytes(cold.bytes)}`)
  guide.same('the hub was asked for', stage.asked(), '2 manifests, 3 blobs')
  await pull(stage.url, NGINX, '1.29')
  guide.same('and for the same again', stage.asked(), '0 manifests, 0 blobs')
}

/** What is here can be looked at. */
export async function looksAtImages(guide: TourGuide, stage: TourStage): Promise<void> {
  // Isolates tell of pulls when a few have come together.
  await sleep(3000)
  const listed = await guide.entrepot(stage, ['images'])
  guide.check('three repositories are listed', listed.trimEnd().split('\n').length === 4)
  await guide.entrepot(stage, ['images', 'show', NGINX])
  const shown = await guide.entrepot(stage, ['images', 'show', `${NGINX}:1.29`])
  guide.check('both platforms are shown', /linux\/amd64[^]*linux\/arm64/.test(shown))
  guide.check('one of them is not here, since nobody pulled it', shown.includes('not here'))
  const client = await stage.client()
  const { images } = (await client.ask({ method: 'GET', path: 'images?search=nginx' })).json
  guide.same('repositories with nginx in their name', Array.isArray(images) ? images.length : 0, 1)
  guide.same('all of it asked the hub for', stage.asked(), '0 manifests, 0 blobs')
}

/** Images are fetched before anybody pulls them. */
export async function fetchesAhead(guide: TourGuide, stage: TourStage): Promise<void> {
  const order = ['prefetch', `${REDIS}:8`, `${NGINX}:1.29`, '--platforms', 'linux/amd64']
  await guide.entrepot(stage, order)
  guide.same('the hub was asked for', stage.asked(), '1 manifest, 2 blobs')
  await pull(stage.url, REDIS, '8')
  guide.same('and for a pull after it', stage.asked(), '0 manifests, 0 blobs')
  const job = await newestJob(stage)
  guide.same('the job is', job.text('state'), 'done')
  guide.same('images that were fetched', job.member('result').number('fetched'), 1)
  guide.same('images that were here already', job.member('result').number('present'), 1)
  await guide.entrepot(stage, ['upstreams'])
}

/** A pinned image stays, and a tag is asked for when somebody says so. */
export async function pinsAndRefreshes(guide: TourGuide, stage: TourStage): Promise<void> {
  await guide.entrepot(stage, ['pin', 'add', `${ALPINE}:3.22`])
  const pins = await guide.entrepot(stage, ['pin', 'list'])
  guide.check('alpine is pinned', pins.includes(`${ALPINE}:3.22`))
  guide.say('nginx:1.29 is built anew at the hub')
  const digest = await rebuildNginx(stage.hub)
  stage.asked()
  guide.check('a pull gets the old one still', (await digestOf(stage, NGINX, '1.29')) !== digest)
  await guide.entrepot(stage, ['refresh', `${NGINX}:1.29`])
  guide.same('a pull gets', await digestOf(stage, NGINX, '1.29'), digest)
  await pull(stage.url, NGINX, '1.29')
  await guide.entrepot(stage, ['refresh', ALPINE])
}

/** What is purged is asked for again. */
export async function purges(guide: TourGuide, stage: TourStage): Promise<void> {
  stage.asked()
  await guide.entrepot(stage, ['purge', `${REDIS}:8`])
  const job = await newestJob(stage)
  guide.same('the purge is', job.text('state'), 'done')
  guide.same('the hub was asked for', stage.asked(), '0 manifests, 0 blobs')
  const seconds = await untilAsked(stage, REDIS, '8')
  guide.check(`clients see it after ${seconds} s`, seconds <= 60)
  await pull(stage.url, REDIS, '8')
  guide.same('and for a pull after it', stage.asked(), '1 manifest, 2 blobs')
  await guide.entrepot(stage, ['purge', 'https://docker.io'], { code: 2 })
}

/** What nobody pulls goes when there is too much, and what is pinned stays. */
export async function collects(guide: TourGuide, stage: TourStage): Promise<void> {
  guide.say(`idle:1 and alpine:3.22 were pulled yesterday, and not since; alpine is pinned`)
  await guide.entrepot(stage, ['collect', '--dry-run'])
  const dry = (await newestJob(stage)).member('result')
  guide.check('there is too much', dry.number('bytesBefore') > LOW_BYTES)
  guide.same('images that would go', dry.number('images'), 1)
  guide.check('idle:1 is here still', await isHere(stage, `${IDLE}:1`))
  await guide.entrepot(stage, ['collect'])
  const real = (await newestJob(stage)).member('result')
  guide.same('images that went', real.number('images'), 1)
  guide.check('there is as little as was wanted', real.number('bytesAfter') <= LOW_BYTES)
  await guide.entrepot(stage, ['storage'])
  guide.check('idle:1 is gone', !(await isHere(stage, `${IDLE}:1`)))
  stage.asked()
  await pull(stage.url, ALPINE, '3.22')
  await pull(stage.url, NGINX, '1.29')
  await pull(stage.url, REDIS, '8')
  guide.same('pulls of what stayed ask the hub for', stage.asked(), '0 manifests, 0 blobs')
}

/** Prometheus is told. */
export async function measures(guide: TourGuide, stage: TourStage): Promise<void> {
  const { username, password } = await stage.administrator()
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  const response = await fetch(new URL('/metrics', stage.url), { headers: { authorization } })
  const lines = (await response.text()).split('\n').filter((line) => SHOWN.test(line))
  for (const line of lines) guide.say(line)
  guide.same('the status of /metrics', response.status, 200)
  guide.check(
    'the budget of the hub is in it',
    lines.some(
      (line) => line.startsWith('entrepot_upstream_budget_limit') && line.endsWith(` ${BUDGET}`),
    ),
  )
  guide.check(
    'requests are counted',
    lines.some((line) => line.startsWith('entrepot_requests_total')),
  )
}

const SHOWN =
  /^entrepot_(?:requests_total\{[^}]*manifest|upstream_budget|upstream_read_bytes|storage_bytes|jobs?_)/

/** The job that was ordered last. */
export async function newestJob(stage: TourStage): Promise<Answer> {
  const client = await stage.client()
  const [job] = (await client.ask({ method: 'GET', path: 'jobs' })).list('jobs')
  if (job === undefined) throw new Error('there are no jobs')
  return job
}

/** The digest that a tag has for clients. @throws where there is none. */
export async function digestOf(stage: TourStage, name: string, tag: string): Promise<string> {
  const response = await fetch(new URL(`/v2/${name}/manifests/${tag}`, stage.url), {
    method: 'HEAD',
  })
  const digest = response.headers.get('Docker-Content-Digest')
  if (digest === null) throw new Error(`${name}:${tag} is answered with ${response.status}`)
  return digest
}

/** Asks for a tag until the registry asks the hub for it, for a minute. How many seconds that took. */
async function untilAsked(stage: TourStage, name: string, tag: string): Promise<number> {
  for (let seconds = 0; ; seconds++) {
    await digestOf(stage, name, tag)
    if (seconds > 60 || stage.hub.count({ kind: 'manifest', method: 'GET' }) > 0) return seconds
    await sleep(1000)
  }
}

/** Whether a manifest is kept here, without asking for it. */
async function isHere(stage: TourStage, image: string): Promise<boolean> {
  const client = await stage.client()
  return client.ask({ method: 'GET', path: `images/${image}` }).then(
    () => true,
    () => false,
  )
}
