// The chapters of the tour about what is hosted: it is imported, kept from being changed, exported, lost, and brought
// back.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { pull } from './puller.ts'
import { SOURCE_VARIABLE } from './import-arguments.ts'
import type { TourGuide } from './tour-guide.ts'
import { digestOf, newestJob } from './tour-mirror.ts'
import { OLD_LOGIN } from './tour-stage.ts'
import type { TourStage } from './tour-stage.ts'

const HOSTED = 'hosted/nginx'
const NGINX = 'docker.io/library/nginx'

/** An image becomes property, with its platforms and its signature. */
export async function importsImage(guide: TourGuide, stage: TourStage): Promise<void> {
  await guide.entrepot(stage, ['import', `${NGINX}:1.29`, `${HOSTED}:1.29`])
  const digest = await digestOf(stage, NGINX, '1.29')
  guide.same('it has the same digest', await digestOf(stage, HOSTED, '1.29'), digest)
  const { bytes } = await pull(stage.url, HOSTED, '1.29')
  guide.check('every byte of a pull has its digest', bytes > 0)
  const shown = await guide.entrepot(stage, ['images', 'show', `${HOSTED}:1.29`])
  guide.check('both platforms are here', !shown.includes('not here'))
}

/** The repositories of another registry are copied, and once only. */
export async function importsRegistry(guide: TourGuide, stage: TourStage): Promise<void> {
  const from = ['--from', stage.oldURL, '--repositories', 'team/**', '--to', 'hosted/team']
  const env = { [SOURCE_VARIABLE]: `${OLD_LOGIN.username}:${OLD_LOGIN.password}` }
  await guide.entrepot(stage, ['import', ...from], { env })
  for (const [repository, tag] of [
    ['app', '1.0'],
    ['app', '2.0'],
    ['tools/cli', '5'],
  ] as const) {
    const { bytes } = await pull(stage.url, `hosted/team/${repository}`, tag)
    guide.check(`hosted/team/${repository}:${tag} is pulled whole`, bytes > 256 * 1024)
  }
  guide.same('signatures that came along', await countReferrers(stage, 'hosted/team/app', '1.0'), 1)
  stage.old.forget()
  await guide.entrepot(stage, ['import', ...from], { env })
  guide.same('a second import copies blobs', stage.old.count({ kind: 'blob', method: 'GET' }), 0)
  guide.same('and is', (await newestJob(stage)).text('state'), 'done')
}

/** A switch is turned, and nothing can be pushed; a pause, and nothing is fetched. */
export async function switches(guide: TourGuide, stage: TourStage): Promise<void> {
  const grant = ['--grant', 'hosted/**=pull,push']
  const made = JSON.parse(await guide.entrepot(stage, ['account', 'add', 'ci', ...grant, '--json']))
  const authorization = `Basic ${Buffer.from(`ci:${made.secret}`).toString('base64')}`
  const startUpload = async (): Promise<number> => {
    const path = '/v2/hosted/app/blobs/uploads/'
    const init = { method: 'POST', headers: { authorization } }
    return (await fetch(new URL(path, stage.url), init)).status
  }
  guide.same('a push begins with', await startUpload(), 202)
  await guide.entrepot(stage, ['switches', 'set', 'readOnly', 'on'])
  guide.same('read only, it begins with', await startUpload(), 405)
  await guide.entrepot(stage, ['switches', 'set', 'readOnly', 'off'])
  await guide.entrepot(stage, ['switches', 'pause', 'docker.io'])
  const late = new URL('/v2/docker.io/library/late/manifests/1', stage.url)
  guide.same('paused, what is not here is', (await fetch(late)).status, 503)
  await guide.entrepot(stage, ['switches', 'resume', 'docker.io'])
  guide.same('and after it', (await fetch(late)).status, 200)
}

/** Everything that objects keep is lost, and comes back. */
export async function losesAndRestores(guide: TourGuide, stage: TourStage): Promise<void> {
  const file = join(stage.folder, 'backup.ndjson')
  const digest = await digestOf(stage, HOSTED, '1.29')
  await guide.entrepot(stage, ['backup', '--out', file])
  await stage.stop()
  guide.say(`the registry is stopped, and ${await stage.loseObjects()} files of objects are lost`)
  await stage.start()
  const gone = new URL(`/v2/${HOSTED}/manifests/1.29`, stage.url)
  guide.same('a pull of what was hosted', (await fetch(gone)).status, 404)
  await guide.entrepot(stage, ['restore', file])
  await sleep(1000)
  guide.same('it has the same digest again', await digestOf(stage, HOSTED, '1.29'), digest)
  await pull(stage.url, HOSTED, '1.29')
  await pull(stage.url, 'hosted/team/app', '2.0')
  guide.check('every byte of two pulls has its digest', true)
  guide.same('signatures', await countReferrers(stage, 'hosted/team/app', '1.0'), 1)
  const accounts = await guide.entrepot(stage, ['account', 'list'])
  guide.check('the account is back', /^ci /m.test(accounts))
  const pins = await guide.entrepot(stage, ['pin', 'list'])
  guide.check('the pin is back', pins.includes('docker.io/library/alpine:3.22'))
  await guide.entrepot(stage, ['jobs'])
}

async function countReferrers(stage: TourStage, name: string, tag: string): Promise<number> {
  const digest = await digestOf(stage, name, tag)
  const response = await fetch(new URL(`/v2/${name}/referrers/${digest}`, stage.url))
  const { manifests } = (await response.json()) as { readonly manifests: readonly unknown[] }
  return manifests.length
}
