// What the tour goes through: an upstream that plays Docker Hub, with a budget; an old registry, with a login; and the
// registry itself, as a process of its own, with its state in a folder that is thrown away.

import type { ChildProcessByStdio } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

import { ADMINISTRATOR, administratorFile } from './administrator.ts'
import { AdminClient } from './admin-client.ts'
import { Failure } from './failure.ts'
import type { Visited } from './tour-guide.ts'
import { fillHub, fillOld } from './tour-images.ts'
import type { UpstreamListener } from './upstream-listener.ts'
import { listenUpstream } from './upstream-listener.ts'
import { SampleUpstream } from './upstream.ts'
import { liveYesterday } from './yesterday.ts'

const ENTREPOT = join(import.meta.dirname, 'entrepot.ts')
/** Manifests that the hub lets its account ask for. */
export const BUDGET = 200
/** The login to the hub, which the registry has. */
const HUB_LOGIN = { username: 'company', password: 'hub-password' }
/** The login to the old registry, which only whoever imports has. */
export const OLD_LOGIN = { username: 'robot', password: 'old-password' }
/** Above so much, a collection has something to do, and so much is left when it has done it. */
export const STORAGE = { target: '6MiB', low: '4MiB' } as const
const MEBIBYTE = 1024 * 1024
/** The same in bytes. */
export const LOW_BYTES = 4 * MEBIBYTE

type Server = ChildProcessByStdio<null, Readable, null>

/** Everything that the tour goes through. */
export class TourStage implements Visited {
  readonly hub: SampleUpstream
  readonly old: SampleUpstream
  readonly oldURL: string
  readonly folder: string
  readonly #listeners: readonly UpstreamListener[]
  readonly #settings: readonly (readonly [name: string, value: string])[]
  #server: Server | undefined
  #url: URL | undefined

  private constructor(given: Pick<TourStage, 'hub' | 'old' | 'folder'>, listeners: Listeners) {
    this.hub = given.hub
    this.old = given.old
    this.folder = given.folder
    this.oldURL = listeners.old.url
    this.#listeners = [listeners.hub, listeners.old]
    this.#settings = settingsOf(listeners.hub.url)
  }

  /** Builds it; the registry does not run yet. */
  static async build(): Promise<TourStage> {
    const hub = new SampleUpstream({
      authentication: { service: 'hub', accounts: { [HUB_LOGIN.username]: HUB_LOGIN.password } },
      rateLimit: { limit: BUDGET, remaining: BUDGET },
    })
    const old = new SampleUpstream({
      authentication: {
        service: 'old',
        accounts: { [OLD_LOGIN.username]: OLD_LOGIN.password },
        anonymous: false,
      },
      catalog: true,
    })
    await fillHub(hub)
    await fillOld(old)
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-tour-'))
    const listeners = {
      hub: await listenUpstream(hub.handle),
      old: await listenUpstream(old.handle),
    }
    return new TourStage({ hub, old, folder }, listeners)
  }

  /** Where the registry keeps its state. */
  get persistTo(): string {
    return join(this.folder, 'state')
  }

  /** Where it listens. @throws {Failure} while it does not run. */
  get url(): URL {
    if (this.#url === undefined) throw new Failure('the registry does not run')
    return this.#url
  }

  /**
   * Yesterday: the registry of then pulls these, and is stopped. Nobody removes what was read in the last hours, so the
   * tour needs images that are older than itself.
   */
  async liveYesterday(
    images: readonly (readonly [repository: string, tag: string])[],
  ): Promise<void> {
    const vars = Object.fromEntries(this.#settings)
    await liveYesterday({ folder: this.folder, persistTo: this.persistTo, vars }, images)
  }

  /** Starts the registry, on the same state each time. */
  async start(): Promise<void> {
    const args = ['serve', '--json', '--port', '0', '--persist-to', this.persistTo]
    const vars = this.#settings.flatMap(([name, value]) => ['--var', `${name}:${value}`])
    const server = spawn(process.execPath, [ENTREPOT, ...args, ...vars], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#server = server
    const lines = createInterface({ input: server.stdout })
    for await (const line of lines) {
      const url = addressIn(line)
      if (url === undefined) continue
      this.#url = url
      // What it logs is for operators, and nobody reads it here.
      server.stdout.resume()
      return
    }
    throw new Failure('the registry did not start')
  }

  /** Stops the registry; its state stays. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    this.#url = undefined
    if (server === undefined || server.exitCode !== null) return
    const ended = once(server, 'close')
    server.kill('SIGTERM')
    await ended
  }

  /** The API, in the name of the local administrator. */
  async client(): Promise<AdminClient> {
    return AdminClient.of({ url: this.url, persistTo: this.persistTo, isJSON: true })
  }

  /** Who that is. */
  async administrator(): Promise<{ readonly username: string; readonly password: string }> {
    const password = await readFile(administratorFile(this.persistTo), 'utf8')
    return { username: ADMINISTRATOR, password: password.trim() }
  }

  /** Loses the state of all Durable Objects, which must not run; objects of R2 stay. How many files that were. */
  async loseObjects(): Promise<number> {
    const entries = await readdir(this.persistTo, { recursive: true, withFileTypes: true })
    const lost = entries.filter(({ parentPath }) => /(?:^|[\\/])do(?:[\\/]|$)/.test(parentPath))
    const files = lost.filter((entry) => entry.isFile())
    for (const { parentPath, name } of files) await rm(join(parentPath, name), { force: true })
    return files.length
  }

  /** What the hub was asked for since the last time, by kind. */
  asked(): string {
    const counts = (['manifest', 'blob'] as const).map((kind) => {
      const number = this.hub.count({ kind, method: 'GET' })
      return `${number} ${kind}${number === 1 ? '' : 's'}`
    })
    const heads = this.hub.count({ method: 'HEAD' })
    this.hub.forget()
    return [...counts, ...(heads === 0 ? [] : [`${heads} HEAD`])].join(', ')
  }

  /** Leaves nothing behind. */
  async close(): Promise<void> {
    await this.stop()
    await Promise.all(this.#listeners.map((listener) => listener.close()))
    await rm(this.folder, { recursive: true, force: true })
  }
}

interface Listeners {
  readonly hub: UpstreamListener
  readonly old: UpstreamListener
}

function settingsOf(hubURL: string): readonly (readonly [name: string, value: string])[] {
  const settings = {
    UPSTREAMS: { 'docker.io': { url: hubURL, private: false } },
    UPSTREAM_CREDENTIALS: { 'docker.io': [HUB_LOGIN] },
    HOSTED: ['hosted/**'],
    ANONYMOUS: [{ repositories: ['docker.io/**', 'hosted/**'], actions: ['pull'] }],
    STORAGE_TARGET: STORAGE,
  }
  return Object.entries(settings).map(([name, value]) => [name, JSON.stringify(value)])
}

/** In the line in which a registry says that it listens. */
function addressIn(line: string): URL | undefined {
  try {
    const { event, url } = JSON.parse(line)
    return event === 'listening' ? new URL(url) : undefined
  } catch {
    return undefined
  }
}
