// The upstream: Debian's docker-registry on loopback. Rows count what reached it in its own access log.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, type OwnedProcess, waitUntil, type Workspace } from './process.ts'

/** One line of the access log. */
export interface LoggedRequest {
  readonly method: string
  readonly path: string
  readonly status: number
}

/** What reached the upstream for one image, by kind. */
export interface Counts {
  readonly manifestGETs: number
  readonly manifestHEADs: number
  readonly blobGETs: number
  /** Anything else but the base check: blob HEADs, listings, writes, refused attempts. */
  readonly other: number
}

/** How the registry asks for tokens. */
export interface TokenSettings {
  readonly realm: string
  readonly service: string
  readonly issuer: string
  readonly certificate: string
}

const ACCESS = /"([A-Z]+) (\S+) HTTP\/[0-9.]+" ([0-9]{3}) /

/** A docker-registry that can be stopped and started again on the same port with the same storage. */
export class Upstream {
  readonly url: string
  /** `127.0.0.1:<port>`, as it stands in image names. */
  readonly host: string
  readonly #workspace: Workspace
  readonly #name: string
  readonly #configFile: string
  readonly #earlier: LoggedRequest[] = []
  #process: OwnedProcess | undefined
  #marks = 0

  private constructor(workspace: Workspace, name: string, port: number) {
    this.#workspace = workspace
    this.#name = name
    this.#configFile = join(workspace.folder, `${name}.yml`)
    this.host = `127.0.0.1:${port}`
    this.url = `http://${this.host}`
  }

  /** Starts one; two that are given the same storage serve the same images. */
  static async start(
    workspace: Workspace,
    name: string,
    { storage = name, token }: { storage?: string; token?: TokenSettings } = {},
  ): Promise<Upstream> {
    const port = await freePort()
    const upstream = new Upstream(workspace, name, port)
    const folder = await workspace.folderOf(`storage-${storage}`)
    await writeFile(upstream.#configFile, configuration(port, folder, token))
    await upstream.restart()
    return upstream
  }

  async restart(): Promise<void> {
    this.#process = await this.#workspace.startUntil(
      this.#name,
      {
        command: 'docker-registry',
        args: ['serve', this.#configFile],
        env: { OTEL_TRACES_EXPORTER: 'none' },
      },
      () => this.#answers(),
    )
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
    this.#earlier.push(...parseLog(this.#process?.lines ?? []))
    this.#process = undefined
  }

  /**
   * All requests so far. The log has a line when an answer has ended, a moment after its reader knows; so marked
   * requests are sent until one has brought nothing new.
   */
  async requests(): Promise<readonly LoggedRequest[]> {
    let length = -1
    let found = this.#logged()
    while (found.length !== length) {
      length = found.length
      await this.#mark()
      found = this.#logged()
    }
    return found
  }

  /** Runs an action and counts what it made the upstream do about a repository. */
  async count(repository: string, action: () => Promise<unknown>): Promise<Counts> {
    const before = (await this.requests()).length
    await action()
    const requests = (await this.requests()).slice(before)
    const paths = new RegExp(`^/v2/${repository}/(manifests|blobs)/[^/]+$`)
    const concerned = requests.filter(({ path }) => path.startsWith(`/v2/${repository}/`))
    const of = (method: string, kind: string): number =>
      concerned.filter(
        (one) => one.method === method && paths.exec(one.path)?.[1] === kind && one.status < 400,
      ).length
    const counts = {
      manifestGETs: of('GET', 'manifests'),
      manifestHEADs: of('HEAD', 'manifests'),
      blobGETs: of('GET', 'blobs'),
    }
    const known = counts.manifestGETs + counts.manifestHEADs + counts.blobGETs
    return { ...counts, other: concerned.length - known }
  }

  /** Returns when the log holds a line that was caused after the call. */
  async #mark(): Promise<void> {
    const running = this.#process
    if (running === undefined) return
    const mark = `mark-${(this.#marks += 1)}`
    await fetch(`${this.url}/v2/?${mark}`).then((response) => response.arrayBuffer())
    await waitUntil(`${mark} is logged`, () =>
      running.lines.some((line) => line.includes(`?${mark} `)),
    )
  }

  #logged(): readonly LoggedRequest[] {
    return [...this.#earlier, ...parseLog(this.#process?.lines ?? [])]
  }

  async #answers(): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}/v2/`)
      await response.arrayBuffer()
      return response.status === 200 || response.status === 401
    } catch {
      return false // not listening yet
    }
  }
}

function parseLog(lines: readonly string[]): readonly LoggedRequest[] {
  return lines.flatMap((line) => {
    const [, method, path, status] = ACCESS.exec(line) ?? []
    if (method === undefined || path === undefined || path.startsWith('/v2/?')) return []
    return [{ method, path, status: Number(status) }]
  })
}

function configuration(port: number, folder: string, token: TokenSettings | undefined): string {
  const auth =
    token === undefined
      ? {}
      : {
          auth: {
            token: {
              realm: token.realm,
              service: token.service,
              issuer: token.issuer,
              rootcertbundle: token.certificate,
            },
          },
        }
  // JSON is YAML.
  return JSON.stringify({
    version: 0.1,
    log: { level: 'warn' },
    storage: {
      filesystem: { rootdirectory: folder },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: `127.0.0.1:${port}`, secret: 'of the test' },
    ...auth,
  })
}
