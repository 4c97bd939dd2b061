// What is measured: a registry that mirrors the bench's upstream. The mirror of this repository runs as
// `npm start` runs it, the reference registry in its proxy mode beside it where that was asked for.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'

import { Child } from './call.ts'
import { Isolate } from './isolate.ts'
import type { MirrorCalls } from './mirror-process.ts'
import { Service } from './service.ts'
import { childrenOf } from './usage.ts'

const ROOT = join(import.meta.dirname, '..')
const PEER = join(ROOT, '.cache', 'bin', 'registry')
const PEER_MODULE = 'github.com/distribution/distribution/v3/cmd/registry@v3.1.2'

/** The upstream's host in the mirror's table, and the same upstream asked with a credential. */
const HOSTS = { anonymous: 'bench.test', credential: 'budget.test' } as const

/** A registry under measurement. */
export interface Subject {
  readonly name: string
  /** `<base>/v2/<repository>` of a repository of the upstream. */
  readonly base: (repository: string, as?: keyof typeof HOSTS) => string
  /** The process whose memory and CPU count. */
  readonly pid: number | undefined
  /** The isolate whose memory counts beside that of its process. */
  readonly isolate?: Isolate
  readonly close: () => Promise<void>
}

/** What a subject is given. */
export interface SubjectOptions {
  readonly upstreamURL: string
  /** An empty folder for its state. */
  readonly folder: string
  /** How long it may believe a tag (seconds). */
  readonly tagTTL: number
}

/** How to start a subject. */
export type StartSubject<Kind extends Subject = Subject> = (
  options: SubjectOptions,
) => Promise<Kind>

/** This repository's mirror, with the upstream twice in its table: without and with a credential. */
export async function startMirror(options: SubjectOptions): Promise<Subject> {
  const upstream = { url: options.upstreamURL, tagTTL: options.tagTTL, private: false }
  const vars = {
    // Where bytes go through the Worker there is something to measure.
    REDIRECT: 'never',
    UPSTREAMS: JSON.stringify({ [HOSTS.anonymous]: upstream, [HOSTS.credential]: upstream }),
    UPSTREAM_CREDENTIALS: JSON.stringify({
      [HOSTS.credential]: [{ username: 'bench', password: 'bench' }],
    }),
  }
  const mirror = new Child<MirrorCalls>('mirror-process.ts')
  try {
    const inspectorPort = await freePort()
    const { folder } = options
    const { address, pid } = await mirror.call('start', { folder, vars, inspectorPort })
    const isolate = await Isolate.attach(inspectorPort)
    return {
      name: 'entrepot',
      base: (repository, as = 'anonymous') => `${address}/v2/${HOSTS[as]}/${repository}`,
      pid: await workerdOf(pid),
      isolate,
      close: async () => {
        isolate.close()
        await mirror.close()
      },
    }
  } catch (error) {
    await mirror.close()
    throw error
  }
}

/** The reference registry as a pull-through cache. Built on its first use, which takes a minute or two. */
export function startPeer(options: SubjectOptions): Promise<Subject> {
  return startReference(options, `proxy: { remoteurl: '${options.upstreamURL}' }`)
}

/** The reference registry with its state in a folder, and with more lines of configuration, also of its storage. */
export async function startReference(
  options: Pick<SubjectOptions, 'folder'> & { readonly storage?: string },
  more: string,
): Promise<Subject> {
  await buildPeer()
  const port = await freePort()
  const address = `http://127.0.0.1:${port}`
  const file = `${options.folder}.yml`
  await writeFile(file, referenceConfiguration(port, options, more))
  const service = await Service.start({
    command: PEER,
    args: ['serve', file],
    env: { OTEL_TRACES_EXPORTER: 'none' },
    isReady: async () => (await fetch(`${address}/v2/`).catch(() => undefined))?.ok === true,
  })
  return {
    name: 'distribution',
    base: (repository) => `${address}/v2/${repository}`,
    pid: service.pid,
    close: () => service.close(),
  }
}

/** The runtime among the processes that Miniflare has started. */
export async function workerdOf(parent: number): Promise<number | undefined> {
  for (const pid of await childrenOf(parent)) {
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
    if (name.trim() === 'workerd') return pid
  }
  return undefined
}

function referenceConfiguration(
  port: number,
  { folder, storage = '' }: { readonly folder: string; readonly storage?: string },
  more: string,
): string {
  return `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${JSON.stringify(folder)} }, ${storage} }
http: { addr: '127.0.0.1:${port}' }
${more}
`
}

async function buildPeer(): Promise<void> {
  const isBuilt = await access(PEER).then(
    () => true,
    () => false,
  )
  if (isBuilt) return
  console.error(`building ${PEER_MODULE} …`)
  const env = { ...process.env, GOBIN: join(ROOT, '.cache', 'bin') }
  const build = spawn('go', ['install', PEER_MODULE], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let output = ''
  build.stderr.on('data', (bytes: Buffer) => (output += bytes.toString()))
  const [code] = (await once(build, 'close').catch((error: NodeJS.ErrnoException) => {
    const isMissing = error.code === 'ENOENT'
    throw isMissing ? new Error('Go, which builds the reference registry, is missing') : error
  })) as [number | null]
  if (code !== 0) throw new Error(`go install ${PEER_MODULE} failed: ${output}`)
}

/** A port of loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('there is no free port')
  return address.port
}
