// Everybody who takes part, each a process of its own, started when the first asks for it, with the same image in
// all of them. Whatever was started is ended by `close`, also when a measurement fails or is interrupted.

import { createReadStream, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { createSecret, hashSecret } from '../../src/auth/account.ts'
import { Child } from '../call.ts'
import type { ClientCalls } from '../client-process.ts'
import { type AddressedBlob, type Image, bytesOf } from '../content.ts'
import { PLAIN_TOKEN } from '../counting-upstream.ts'
import type { MirrorCalls } from '../mirror-process.ts'
import { type Subject, startReference, workerdOf } from '../subject.ts'
import type { UpstreamCalls } from '../upstream-process.ts'
import { Unavailable } from './contest.ts'
import { FLOOR_PATHS } from './floor-paths.ts'
import type { FloorCalls } from './floor-process.ts'
import type { LoadCalls } from './load-process.ts'

/** The upstream in the registry's table. */
const HOST = 'bench.test'
/** Of the upstream: anybody may pull the one, nobody the other without a token. */
export const REPOSITORIES = { open: 'open/image', closed: 'closed/image' } as const
/** Hosted, and of the reference registry: what is pushed. */
export const PUSHED = 'hosted/image'
/** The image's tag, wherever it is. */
export const TAG = '1.0'

/** The client that is sent to the object storage; blobs are streamed to all others. */
export const REDIRECTED = 'redirected'

const USERNAME = 'bench'
/** The layer that is asked for again and again. */
export const LAYER = { seed: 1, size: 64 * 1024 } as const
/** The image's blobs: a config, that layer and another. */
const BLOBS = [{ seed: 0, size: 2048 }, LAYER, { seed: 2, size: 256 * 1024 }]
/** As the shipped configuration has it, or the registry would look on its disk for every blob's size. */
const CACHE = 'cache: { blobdescriptor: inmemory }'

/** The registry of this repository. */
export interface Entrepot {
  readonly origin: string
  /** The runtime's. */
  readonly pid: number | undefined
  /** A token for one repository. */
  readonly token: (repository: string) => Promise<string>
}

/** The bare Worker. */
export interface Floor {
  readonly origin: string
  readonly pid: number | undefined
}

/** The processes of one run. */
export class Stand {
  readonly isQuick: boolean
  readonly folder = mkdtempSync(join(tmpdir(), 'entrepot-bench-'))
  readonly load = new Child<LoadCalls>('speed/load-process.ts')
  readonly clients = new Child<ClientCalls>('client-process.ts')
  readonly upstream = new Child<UpstreamCalls>('upstream-process.ts')
  readonly #floor = new Child<FloorCalls>('speed/floor-process.ts')
  readonly #log = join(this.folder, 'log')
  readonly #registry = new Child<MirrorCalls>('mirror-process.ts', { output: this.#log })
  readonly #started = new Map<string, Promise<unknown>>()
  readonly #references: Promise<Subject>[] = []
  #closing: Promise<void> | undefined

  constructor(isQuick: boolean) {
    this.isQuick = isQuick
  }

  /** Where the upstream listens. */
  upstreamURL(): Promise<string> {
    return this.once('upstream', () => this.upstream.call('listen', undefined))
  }

  /** The image that everybody has. */
  image(): Promise<Image> {
    return this.once('image', async () => {
      const all = await Promise.all(
        Object.values(REPOSITORIES).map((repository) =>
          this.upstream.call('addImages', { repository, tags: [TAG], blobs: BLOBS }),
        ),
      )
      const [image] = all.flat()
      if (image === undefined) throw new Error('there is no image')
      return image
    })
  }

  /** Its layer. */
  async layerBlob(): Promise<AddressedBlob> {
    const blob = (await this.image()).blobs.find(({ seed }) => seed === LAYER.seed)
    if (blob === undefined) throw new Error('there is no layer')
    return blob
  }

  /** The bytes of that. */
  async layer(): Promise<Buffer> {
    const range = { first: 0, end: LAYER.size, piece: LAYER.size }
    return Buffer.concat([...bytesOf(LAYER, range)])
  }

  /** Lets the bare Worker have the layer; returns its key. */
  putLayer(): Promise<string> {
    return this.once('layer', async () => {
      const blob = await this.layerBlob()
      await this.put(blob)
      return keyOf(blob)
    })
  }

  /** The bare Worker. */
  floor(): Promise<Floor> {
    return this.once('floor', async () => {
      const [url, image] = [await this.upstreamURL(), await this.image()]
      const { address, pid } = await this.#floor.call('start', {
        folder: join(this.folder, 'floor'),
        text: image.manifest,
        url: `${url}/v2/${REPOSITORIES.open}/manifests/${TAG}`,
        token: PLAIN_TOKEN,
      })
      return { origin: address, pid: await workerdOf(pid) }
    })
  }

  /** `npm start`, warm: the mirrored image was pulled, and the hosted one pushed. */
  entrepot(): Promise<Entrepot> {
    return this.once('entrepot', () => this.#startEntrepot())
  }

  /** The reference registry that serves its own disk, with the image. */
  reference(): Promise<Subject> {
    return this.once('reference', async () => {
      const subject = await this.#startReference('reference', '')
      await this.push(subject.base(PUSHED))
      return subject
    })
  }

  /** The reference registry as a proxy of the upstream, warm. */
  proxy(): Promise<Subject> {
    return this.once('proxy', async () => {
      const remote = await this.upstreamURL()
      const subject = await this.#startReference('proxy', `proxy: { remoteurl: '${remote}' }`)
      await this.pull(subject.base(REPOSITORIES.open))
      return subject
    })
  }

  /** Log lines that the registry has printed. */
  async logged(): Promise<number> {
    let lines = 0
    for await (const bytes of createReadStream(this.#log) as AsyncIterable<Buffer>) {
      for (let at = bytes.indexOf('\n'); at >= 0; at = bytes.indexOf('\n', at + 1)) lines += 1
    }
    return lines
  }

  /** Pulls the image once. */
  async pull(base: string, token?: string): Promise<void> {
    await this.image()
    const { failures } = await this.clients.call('pull', { base, token, tag: TAG, clients: 1 })
    if (failures.length > 0) throw new Error(`the first pull failed: ${failures.join(', ')}`)
  }

  /** Pushes the image once. */
  async push(base: string): Promise<void> {
    const wish = { base, tag: TAG, image: await this.image(), way: 'stream' } as const
    const { failures } = await this.clients.call('pushImage', wish)
    if (failures.length > 0) throw new Error(`the first push failed: ${failures.join(', ')}`)
  }

  /** Lets the bare Worker fetch a blob from the upstream and put it, also in parts; returns milliseconds. */
  async put(
    blob: AddressedBlob,
    how: 'fetchAndPut' | 'fetchAndPutParts' = 'fetchAndPut',
  ): Promise<number> {
    const [{ origin }, upstream] = [await this.floor(), await this.upstreamURL()]
    const url = `${upstream}/v2/bench/plain/blobs/${blob.digest}`
    const start = performance.now()
    const response = await fetch(`${origin}${FLOOR_PATHS[how]}${keyOf(blob)}`, {
      method: 'POST',
      body: url,
    })
    if (!response.ok) throw new Error(`the plain put failed: ${await response.text()}`)
    return performance.now() - start
  }

  /** Does something once, whoever asks. */
  once<Value>(name: string, work: () => Promise<Value>): Promise<Value> {
    const known = this.#started.get(name) as Promise<Value> | undefined
    if (known !== undefined) return known
    if (this.#closing !== undefined) throw new Error('the bench is ending')
    const started = work()
    this.#started.set(name, started)
    return started
  }

  /** Ends all processes and removes the folder. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const references = await Promise.allSettled(this.#references)
    await Promise.all(
      references.flatMap((each) => (each.status === 'fulfilled' ? [each.value.close()] : [])),
    )
    const children = [this.load, this.clients, this.#floor, this.#registry, this.upstream]
    await Promise.all(children.map((each) => each.close()))
    await rm(this.folder, { recursive: true, force: true })
  }

  async #startEntrepot(): Promise<Entrepot> {
    const secret = createSecret()
    const vars = {
      UPSTREAMS: JSON.stringify({ [HOST]: { url: await this.upstreamURL() } }),
      REDIRECT: JSON.stringify([
        { userAgent: REDIRECTED, redirect: 'auto' },
        { redirect: 'never' },
      ]),
      HOSTED: JSON.stringify(['hosted/**']),
      ANONYMOUS: JSON.stringify([
        { repositories: [`${HOST}/open/**`], actions: ['pull'] },
        { repositories: ['hosted/**'], actions: ['pull', 'push'] },
      ]),
      ACCOUNTS: JSON.stringify([
        {
          name: USERNAME,
          secretHash: await hashSecret(secret),
          grants: [{ repositories: [`${HOST}/closed/**`], actions: ['pull'] }],
        },
      ]),
    }
    const folder = join(this.folder, 'entrepot')
    const { address: origin, pid } = await this.#registry.call('start', {
      folder,
      vars,
      isLogging: true,
    })
    const authorization = `Basic ${Buffer.from(`${USERNAME}:${secret}`).toString('base64')}`
    const token = async (repository: string): Promise<string> => {
      const scope = `repository:${HOST}/${repository}:pull`
      const url = `${origin}/token?scope=${encodeURIComponent(scope)}`
      const response = await fetch(url, { headers: { authorization } })
      if (!response.ok) throw new Error(`no token: ${response.status} ${await response.text()}`)
      return ((await response.json()) as { readonly token: string }).token
    }
    const entrepot = { origin, pid: await workerdOf(pid), token }
    await this.pull(baseOf(entrepot, REPOSITORIES.open))
    const closed = baseOf(entrepot, REPOSITORIES.closed)
    await this.pull(closed, await token(REPOSITORIES.closed))
    const refused = await fetch(`${closed}/manifests/${TAG}`)
    if (refused.status !== 401) throw new Error('a closed repository is open')
    await this.push(`${origin}/v2/${PUSHED}`)
    return entrepot
  }

  async #startReference(name: string, more: string): Promise<Subject> {
    const options = { folder: join(this.folder, name), storage: CACHE }
    const starting = startReference(options, more).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
      throw new Unavailable(`not measured: ${reason}`)
    })
    this.#references.push(starting)
    return starting
  }
}

/** The key by which the bare Worker keeps a blob. */
export function keyOf({ digest }: AddressedBlob): string {
  return digest.slice('sha256:'.length)
}

/** `<origin>/v2/<name>` of a repository of the upstream. */
export function baseOf({ origin }: Pick<Entrepot, 'origin'>, repository: string): string {
  return `${origin}/v2/${HOST}/${repository}`
}
