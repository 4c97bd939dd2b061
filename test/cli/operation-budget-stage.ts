// What the operation budget is counted on: a sample upstream, a real `wrangler dev`, and repositories that have been
// pulled and pushed before. A restart makes an isolate that has served nothing.

import { pull } from '../../cli/puller.ts'
import { addSample, sampleImage, sampleIndex } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import { listenUpstream } from '../../cli/upstream-listener.ts'
import type { UpstreamListener } from '../../cli/upstream-listener.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import { hashSecret } from '../../src/auth/account.ts'
import { Workspace } from '../clients/process.ts'
import { ask, pushImage } from './operation-budget-client.ts'
import type { Answered, Ask } from './operation-budget-client.ts'
import { prepareServer, startServer } from './operation-budget-server.ts'
import type { DevServer } from './operation-budget-server.ts'
import { operationsOf } from './operation-budget-spans.ts'
import type { Operations } from './operation-budget-spans.ts'

/** Layers below and above the size from which a fill is cut into segments (bytes). */
const LAYERS = [300_000, 5_000_000]
const HOSTED_LAYERS = [300_000]
/** Blobs are streamed to this client, and redirected to others. */
const STREAMED_CLIENT = 'streamed'

/** One repository of `hub.test` for each row that needs one, since an isolate remembers what it has served. */
const MIRRORED = ['tag', 'digest', 'head-tag', 'head-digest', 'aged', 'plain']
const PRIVATE = 'vault.test/app/private'
const HOSTED = ['plain', 'head']

const SECRET = 'the-secret-of-ci'

/** Headers of the account that may do everything. */
export const LOGIN = { authorization: `Basic ${btoa(`ci:${SECRET}`)}` }
/** Headers of a client to which blobs are streamed. */
export const STREAMED = { 'user-agent': `${STREAMED_CLIENT}/1` }

/** A request, what came of it and what it cost. */
export type Counted = Answered & Operations

/** The stage of one run. */
export class Stage {
  readonly upstream = new SampleUpstream({ authentication: { service: 'sample' } })
  readonly #workspace = new Workspace()
  #listener: UpstreamListener | undefined
  #server: DevServer | undefined
  #settings: Readonly<Record<string, string>> = {}
  #images: { readonly mirrored: SampleManifest; readonly hosted: SampleManifest } | undefined

  /** Starts everything; `vars` are settings that differ. Nothing has been pulled. */
  async open(vars: Readonly<Record<string, string>> = {}): Promise<void> {
    const mirrored = await sampleImage({ layers: LAYERS })
    this.#images = { mirrored, hosted: await sampleImage({ layers: HOSTED_LAYERS, seed: 2 }) }
    await addSample(this.upstream, 'app/cold', await sampleIndex([mirrored]), 'v1')
    for (const name of [...MIRRORED, 'private']) {
      await addSample(this.upstream, `app/${name}`, mirrored, 'v1')
    }
    this.#listener = await listenUpstream(this.upstream.handle)
    this.#settings = await settingsFor(this.#listener.url)
    await prepareServer(this.#workspace)
    this.#server = await startServer(this.#workspace, { ...this.#settings, ...vars })
  }

  /** Ends everything, and leaves nothing. */
  async close(): Promise<void> {
    await this.#listener?.close()
    await this.#workspace.close()
  }

  /** Has everything stored that the rows ask for. */
  async fill(): Promise<void> {
    for (const name of MIRRORED) {
      await this.#expect({ path: `/v2/hub.test/app/${name}/manifests/v1` })
    }
    await this.pull('hub.test/app/plain')
    const headers = { ...LOGIN, ...STREAMED }
    await this.#expect({ path: `/v2/${PRIVATE}/manifests/v1`, headers })
    await this.#expect({ path: this.blob(PRIVATE), headers })
    for (const name of HOSTED) {
      await pushImage(`${this.server.url}/v2/hosted/${name}`, required(this.#images).hosted, LOGIN)
    }
  }

  /** Takes the upstream away, and puts a new isolate in the place of the old one. */
  async restartUnplugged(): Promise<void> {
    await this.server.stop()
    await this.#listener?.close()
    this.upstream.forget()
    this.#server = await startServer(this.#workspace, this.#settings)
  }

  get server(): DevServer {
    return required(this.#server)
  }

  /** Where the upstream listens, or did. */
  get upstreamURL(): string {
    return required(this.#listener).url
  }

  /** Pulls `v1` of a repository as a runtime does; every digest is checked. */
  async pull(repository: string): Promise<void> {
    await pull(new URL(this.server.url), repository, 'v1')
  }

  /** A request and what it cost. */
  async count(request: Ask): Promise<Counted> {
    const answer = await ask(this.server.url, request)
    return { ...answer, ...(await operationsOf(this.server.url, answer.id)) }
  }

  /** A token to pull the private repository. */
  async token(): Promise<string> {
    const query = `scope=repository:${PRIVATE}:pull`
    const answer = await fetch(`${this.server.url}/token?${query}`, { headers: LOGIN })
    const { token } = (await answer.json()) as { readonly token: string }
    return token
  }

  /** The digest of the manifest of `v1`. */
  digest(kind: 'mirrored' | 'hosted' = 'mirrored'): string {
    return required(this.#images)[kind].digest
  }

  /** The digests of the blobs of the mirrored image. */
  get blobs(): readonly string[] {
    return required(this.#images).mirrored.blobs.map(({ digest }) => digest)
  }

  /** The path of the largest layer. */
  blob(repository: string): string {
    const image = required(this.#images)[repository.startsWith('hosted/') ? 'hosted' : 'mirrored']
    return `/v2/${repository}/blobs/${required(image.blobs.at(-1)).digest}`
  }

  async #expect(request: Ask): Promise<void> {
    const { status } = await ask(this.server.url, request)
    if (status !== 200) throw new Error(`${request.path}: ${status}`)
  }
}

async function settingsFor(url: string): Promise<Readonly<Record<string, string>>> {
  const everything = { repositories: ['**'], actions: ['pull', 'push'] }
  const ci = { name: 'ci', secretHash: await hashSecret(SECRET), grants: [everything] }
  const open = { repositories: ['hub.test/**', 'hosted/**'], actions: ['pull'] }
  return {
    UPSTREAMS: JSON.stringify({
      'hub.test': { url, private: false, tagTTL: '1h' },
      'vault.test': { url, private: true, tagTTL: '1h' },
    }),
    HOSTED: JSON.stringify(['hosted/**']),
    ANONYMOUS: JSON.stringify([open]),
    ACCOUNTS: JSON.stringify([ci]),
    REDIRECT: JSON.stringify([{ userAgent: `${STREAMED_CLIENT}/*`, redirect: 'never' }]),
    // Tokens are for this name, so that one is good after a restart on another port.
    PUBLIC_URL: 'http://127.0.0.1',
  }
}

function required<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('the stage is not open')
  return value
}
