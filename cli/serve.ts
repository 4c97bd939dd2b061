// `entrepot serve`: the registry on this machine, on Miniflare, with its state on disk. The Worker listens on
// a socket of its own: Miniflare's entry worker, which would also answer `/cdn-cgi/…` and hand out every
// stored object, gets another port, on loopback only, where clients on this machine read blobs by presigned URLs.

import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Json } from 'miniflare'
import { Log, LogLevel, Miniflare, MiniflareCoreError, convertV4MiniflareOptions } from 'miniflare'

import type { Config } from '../src/config.ts'
import { ConfigError, parseConfig } from '../src/config.ts'
import { administratorFile, withAdministrator } from './administrator.ts'
import { EXIT, deafened, onEnding, statusOf } from './ending.ts'
import { Failure } from './failure.ts'
import { storageFor } from './local-storage.ts'
import type { LocalStorage } from './local-storage.ts'
import { warningsOfPort } from './refused-port.ts'
import type { ServeArguments, ServeWish } from './serve-arguments.ts'
import { HOURLY, startClock } from './serve-clock.ts'
import type { WorkerDescription } from './worker-bundle.ts'
import { bundleWorker, describeWorker } from './worker-bundle.ts'

/** The last lines of the log come so late at most (milliseconds; src/local-worker.ts). */
const LAST_LINES = 50

/** How to run a registry from a program. */
export interface ServeOptions extends ServeArguments {
  /** Takes the lines that the Worker logs; absent: nobody does. */
  readonly log?: (line: string) => void
  /** Whether `.dev.vars` counts; tests say no. */
  readonly secrets?: boolean
  /** Opens the runtime's inspector, which may do anything to the Worker, on this port of loopback. */
  readonly inspectorPort?: number
  /**
   * Whether the caller stops it on a signal. Else Miniflare ends the program at once, before the runtime has ended and
   * with an error status.
   */
  readonly handlesSignals?: boolean
  /** Another entry of the Worker, such as one that a test gives a clock of its own. */
  readonly main?: string
  /** How often the clock strikes that starts regular jobs (milliseconds); absent: never. */
  readonly clockEvery?: number
}

/** A running registry. */
export interface Registry {
  readonly url: URL
  readonly config: Config
  /** The file that holds the secret of the local administrator, unless `ACCOUNTS` has one. */
  readonly administrator: string | undefined
  /** Ends it; the state stays. */
  readonly stop: () => Promise<void>
}

/** A registry that cannot start. */
export class ServeError extends Failure {
  override readonly name = 'ServeError'
}

/**
 * Starts a registry and returns when it listens.
 * @throws {ConfigError} before anything is started, when a setting is wrong.
 * @throws {AdministratorError} when the local administrator's file cannot be made or read.
 * @throws {ServeError} when the address is taken or not of this machine.
 */
export async function serve(options: ServeOptions): Promise<Registry> {
  const worker = describeWorker({ secrets: options.secrets ?? true })
  const given: Readonly<Record<string, Json>> = { ...worker.settings, ...options.vars }
  parseConfig(given)
  const accounts = await withAdministrator(given['ACCOUNTS'], options.persistTo)
  const storage = await storageFor(options.host, given)
  const settings = {
    ...given,
    ...(accounts !== undefined && { ACCOUNTS: accounts }),
    ...storage.settings,
  }
  const miniflare = await start(options, worker, { settings, storage }).catch(
    async (error: unknown) => {
      await storage.close()
      throw error
    },
  )
  const { clockEvery } = options
  const strike = async (): Promise<unknown> => (await miniflare.getWorker(worker.name)).scheduled()
  const stopClock = clockEvery === undefined ? undefined : startClock(strike, clockEvery)
  return {
    url: await miniflare.unsafeGetDirectURL(worker.name),
    config: parseConfig(settings),
    administrator: accounts === undefined ? undefined : administratorFile(options.persistTo),
    stop: async () => {
      await stopClock?.()
      await sleep(LAST_LINES)
      await miniflare.dispose()
      await storage.close()
    },
  }
}

async function start(
  { host, port, persistTo, log, inspectorPort, handlesSignals = false, main }: ServeOptions,
  worker: WorkerDescription,
  { settings, storage }: { settings: Readonly<Record<string, Json>>; storage: LocalStorage },
): Promise<Miniflare> {
  const contents = await bundleWorker(main ?? worker.main)
  let isReady = false
  const miniflareOptions = convertV4MiniflareOptions({
    host: '127.0.0.1',
    port: 0,
    ...(inspectorPort !== undefined && { inspectorHost: '127.0.0.1', inspectorPort }),
    cf: false,
    telemetry: { enabled: false },
    unsafeLocalExplorer: false,
    unsafeObservability: false,
    log: new Log(LogLevel.NONE),
    // Before that the runtime itself speaks here, of what is thrown below.
    handleStructuredLogs: ({ message }) =>
      isReady ? message.split('\n').forEach((line) => log?.(line)) : undefined,
    resourcePersistencePath: resolve(persistTo),
    workers: [
      {
        ...worker.options,
        ...storage.buckets(worker.options),
        name: worker.name,
        modules: [{ type: 'ESModule', path: 'worker.js', contents }],
        bindings: settings,
        unsafeDirectSockets: [{ host, port }],
      },
    ],
  })
  const make = (): Miniflare => new Miniflare(miniflareOptions)
  const miniflare = handlesSignals ? deafened(make) : make()
  try {
    const entry = await miniflare.ready
    storage.open(Number(entry.port))
    isReady = true
    return miniflare
  } catch (error) {
    // A second rejection would say the same again.
    await miniflare.dispose().catch(() => undefined)
    const reason = reasonOf(error)
    if (reason === undefined) throw error
    throw new ServeError(`cannot listen on ${host}:${port}: ${reason}`, { cause: error })
  }
}

/** Why the Worker's socket could not be opened, if that is what went wrong. */
function reasonOf(error: unknown): string | undefined {
  if (!(error instanceof MiniflareCoreError)) return undefined
  if (error.code === 'ERR_ADDRESS_IN_USE') return 'another program does; choose a port with --port'
  return /direct:\d+:\w+\\*": (?:bind|getaddrinfo)\(\): ([^"]*)/.exec(error.message)?.[1]
}

/**
 * Starts a registry that runs until the program is ended, and tells of it.
 * @throws {Failure}
 */
export async function runServe({ isJSON, ...args }: ServeWish): Promise<number> {
  const starting = serve({
    ...args,
    log: (line) => console.log(line),
    handlesSignals: true,
    clockEvery: HOURLY,
  })
  onEnding((ending) => {
    const status = ending === 'SIGPIPE' ? statusOf(ending) : EXIT.fine
    const stopped = starting.then(({ stop }) => stop())
    stopped.then(
      () => process.exit(status),
      () => process.exit(EXIT.failed),
    )
  })
  const registry = await starting.catch((error: unknown) => {
    throw error instanceof ConfigError ? new Failure(error.message, { cause: error }) : error
  })
  const greeting = greetingOf(registry, args)
  console.log(isJSON ? JSON.stringify(greeting) : formatGreeting(greeting))
  return EXIT.fine
}

/** What somebody who starts a registry wants to know. */
interface Greeting {
  /** As in a line of the log. */
  readonly event: 'listening'
  readonly url: string
  readonly persistTo: string
  /** Where the administrator's secret is. */
  readonly administrator?: string
  /** A command to try. */
  readonly example: string
  readonly warnings: readonly string[]
}

function greetingOf(
  { url, config, administrator }: Registry,
  { persistTo }: ServeArguments,
): Greeting {
  return {
    event: 'listening',
    url: url.origin,
    persistTo,
    ...(administrator !== undefined && { administrator }),
    example: exampleOf(url, config),
    warnings: [...config.warnings, ...warningsOfPort(Number(url.port))],
  }
}

function formatGreeting({ url, persistTo, administrator, example, warnings }: Greeting): string {
  return [
    `entrepot listens on ${url} and keeps its state in ${persistTo}`,
    ...(administrator === undefined
      ? []
      : [
          `Accounts: npm run account -- --help (the administrator's secret is in ${administrator})`,
        ]),
    `Try: ${example}`,
    ...warnings.map((warning) => `Warning: ${warning}`),
  ].join('\n')
}

function exampleOf(url: URL, { upstreams, table }: Config): string {
  // A repository name in a client has no place for a port.
  const host = [...upstreams.keys()].find((each) => !each.includes(':'))
  if (host === undefined) return `curl ${url.origin}/v2/`
  const isHub = table.upstreams.get(host)?.library === true
  const image = `${host}/${isHub ? 'library/alpine:latest' : '<repository>:<tag>'}`
  return `skopeo copy --src-tls-verify=false docker://${url.host}/${image} dir:${isHub ? 'alpine' : 'out'}`
}
