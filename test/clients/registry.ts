// entrepot itself, as a user starts it: `entrepot serve` in a process of its own, state in a folder that a restart keeps.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ADMINISTRATOR } from '../../cli/administrator.ts'
import type { Place } from '../../src/http/pages/snippets.ts'
import { type Login, makeLogin } from './account.ts'
import { freePort, type OwnedProcess, waitUntil, type Workspace } from './process.ts'

const REPOSITORY = join(import.meta.dirname, '..', '..')

/** Configuration by name, as `--var` takes it; values that are not text go as JSON. */
export type Vars = Readonly<Record<string, unknown>>

/** How clients reach an entrepot. */
export interface Endpoint {
  readonly name: string
  /** `127.0.0.1:<port>`, and a path if there is one, as it stands in image names. */
  readonly host: string
  readonly url: string
  /** The secret that goes into the path, for who cannot log in. */
  readonly capability?: string
}

/** The same as the texts of the pages take it: what the clients of this suite are configured with. */
export function placeOf({ url, host, capability }: Endpoint): Place {
  return { origin: url, host, capability }
}

/** One request, as the registry logs it. */
export interface LoggedRequest {
  readonly method: string
  readonly endpoint: string
  /** By its canonical name; absent where none was meant. */
  readonly repository?: string
  readonly status: number
}

/** A running entrepot. */
export class Registry implements Endpoint {
  readonly name: string
  /** `127.0.0.1:<port>`, as it stands in image names. */
  readonly host: string
  readonly url: string
  /** Where it keeps its state. */
  readonly folder: string
  readonly #workspace: Workspace
  readonly #args: readonly string[]
  #process: OwnedProcess | undefined

  private constructor(
    workspace: Workspace,
    { name, port, folder }: { name: string; port: number; folder: string },
    args: readonly string[],
  ) {
    this.name = name
    this.folder = folder
    this.host = `127.0.0.1:${port}`
    this.url = `http://${this.host}`
    this.#workspace = workspace
    this.#args = args
  }

  static async start(workspace: Workspace, name: string, vars: Vars): Promise<Registry> {
    const port = await freePort()
    const folder = await workspace.folderOf(`state-${name}`)
    // A developer's `.dev.vars` must not reach a test.
    const all = { UPSTREAM_CREDENTIALS: {}, ...vars }
    const settings = Object.entries(all).flatMap(([key, value]) => [
      '--var',
      `${key}:${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ])
    const args = ['--port', String(port), '--persist-to', folder, ...settings]
    const registry = new Registry(workspace, { name, port, folder }, args)
    await registry.restart()
    return registry
  }

  async restart(): Promise<void> {
    const entry = join('cli', 'entrepot.ts')
    this.#process = await this.#workspace.startUntil(
      this.#processName,
      { command: process.execPath, args: [entry, 'serve', ...this.#args], cwd: REPOSITORY },
      () => this.#answers(),
    )
  }

  /** The secret of the administrator that every local entrepot has. */
  async administrator(): Promise<Login> {
    const secret = await readFile(join(this.folder, ADMINISTRATOR), 'utf8')
    return makeLogin(this.#workspace, ADMINISTRATOR, secret.trim())
  }

  /** Whatever it has written, also before a restart. */
  get lines(): readonly string[] {
    return this.#workspace.linesOf(this.#processName)
  }

  /** Everything that it has answered so far: a request is logged before its answer, so what is asked now comes last. */
  async logged(): Promise<readonly LoggedRequest[]> {
    const response = await fetch(`${this.url}/healthz`)
    await response.arrayBuffer()
    const mark = response.headers.get('X-Request-Id') ?? ''
    await waitUntil('the mark is logged', () =>
      this.lines.some((line) => line.includes(`"${mark}"`)),
    )
    return this.lines
      .filter((line) => line.startsWith('{"event":"request",'))
      .map((line): LoggedRequest => JSON.parse(line))
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
    this.#process = undefined
  }

  get #processName(): string {
    return `entrepot-${this.name}`
  }

  async #answers(): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}/v2/`)
      await response.arrayBuffer()
      return response.status < 500
    } catch {
      return false // not listening yet
    }
  }
}
