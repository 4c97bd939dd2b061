// The process of the clients. Each client has connections of its own and keeps them; digests are checked.

import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

import { MEDIA_TYPE } from '../src/oci/manifest.ts'
import { answerCalls } from './call.ts'
import { type AddressedBlob, type Image, bytesOf } from './content.ts'
import { PIECE, type Pushed, type Way, push, send } from './pusher.ts'
import { type Reading, read, stall } from './reader.ts'

/** Runtimes fetch so many blobs at once. */
const PARALLEL = 3

/** Where to ask; the token is for the upstream itself only. */
interface From {
  /** `<base>/v2/<repository>`. */
  readonly base: string
  readonly token: string | undefined
}

/** What clients saw of a pull. Times are milliseconds. */
export interface Pulled {
  readonly milliseconds: number
  readonly bytes: number
  readonly firstBytes: readonly number[]
  /** Why answers were not what was asked for. */
  readonly failures: readonly string[]
}

const leave: (() => void)[] = []

const calls = {
  /** So many clients pull a tag at once, as containerd does: HEAD of the tag, GET by digest, blobs. */
  pull: async (
    wish: From & { readonly tag: string; readonly clients: number },
  ): Promise<Pulled> => {
    const start = performance.now()
    const all = await Promise.all(Array.from({ length: wish.clients }, () => pull(wish)))
    const readings = all.flat()
    return {
      milliseconds: performance.now() - start,
      bytes: readings.reduce((sum, { bytes }) => sum + bytes, 0),
      firstBytes: readings.map(({ firstByte }) => firstByte),
      failures: readings.flatMap(({ failure }) => failure ?? []),
    }
  },
  /** Clients that come one after the other, `over` milliseconds, and get one blob each. */
  blob: async (
    wish: From & { readonly digest: string; readonly clients: number; readonly over?: number },
  ): Promise<readonly Reading[]> =>
    Promise.all(
      Array.from({ length: wish.clients }, async (_, index) => {
        await sleep(((wish.over ?? 0) * index) / wish.clients)
        return withAgent((agent) => read({ ...blobOf(wish, wish.digest), agent }))
      }),
    ),
  /** The same, of clients that get their headers and then do not read, until `release`. */
  stall: async (
    wish: From & { readonly digest: string; readonly clients: number; readonly over?: number },
  ): Promise<void> => {
    await Promise.all(
      Array.from({ length: wish.clients }, async (_, index) => {
        await sleep(((wish.over ?? 0) * index) / wish.clients)
        const agent = new Agent({ keepAlive: true })
        const hangUp = await stall({ ...blobOf(wish, wish.digest), agent })
        leave.push(() => {
          hangUp()
          agent.destroy()
        })
      }),
    )
  },
  /** Clients that do not read leave. */
  release: (): void => {
    for (const each of leave.splice(0)) each()
  },
  /** Asks for manifests by tag, eight at a time; returns an answer for each. */
  manifests: async (
    wish: From & { readonly tags: readonly string[]; readonly method: 'GET' | 'HEAD' },
  ): Promise<readonly Reading[]> =>
    withAgent(async (agent) => {
      const readings: Reading[] = []
      const queue = [...wish.tags]
      await inParallel(8, queue, async (tag) => {
        const url = `${wish.base}/manifests/${tag}`
        readings.push(await read({ url, token: wish.token, method: wish.method, agent }))
      })
      return readings
    }),
  /** Gets blobs directly, so many at once; returns milliseconds. */
  fetchAll: async (
    wish: From & { readonly digests: readonly string[]; readonly parallel: number },
  ): Promise<number> => {
    const start = performance.now()
    await withAgent((agent) =>
      inParallel(wish.parallel, [...wish.digests], async (digest) => {
        const { failure } = await read({ ...blobOf(wish, digest), agent })
        if (failure !== undefined) throw new Error(`the upstream itself failed: ${failure}`)
      }),
    )
    return performance.now() - start
  },
  /** Pushes blobs, so many at once. */
  push: async (wish: {
    readonly base: string
    readonly blobs: readonly AddressedBlob[]
    readonly way: Way
    readonly parallel: number
  }): Promise<Pushed> => {
    const { base, blobs, way, parallel } = wish
    const all: Pushed[] = []
    await inParallel(parallel, [...blobs], async (blob) => {
      all.push(await withAgent((agent) => push(base, { blob, way, agent })))
    })
    return joined(all)
  },
  /** Sends blobs in one PUT each, to an address that ends with their digest in hex; so many at once. */
  put: async (wish: {
    readonly base: string
    readonly blobs: readonly AddressedBlob[]
    readonly parallel: number
  }): Promise<void> =>
    withAgent((agent) =>
      inParallel(wish.parallel, [...wish.blobs], async ({ digest, ...blob }) => {
        const url = `${wish.base}${digest.slice('sha256:'.length)}`
        const body = bytesOf(blob, { first: 0, end: blob.size, piece: PIECE })
        const headers = { 'content-length': blob.size }
        const { status } = await send({ url, agent, method: 'PUT', headers, body })
        if (status !== 201) throw new Error(`a plain put answered ${status}`)
      }),
    ),
  /** Pushes an image as clients do: what is there already is not sent, and the manifest comes last. */
  pushImage: async (wish: {
    readonly base: string
    readonly tag: string
    readonly image: Image
    readonly way: Way
  }): Promise<Pushed> => withAgent((agent) => pushImage(wish, agent)),
}

/** What this process offers. */
export type ClientCalls = typeof calls

async function pull({ base, token, tag }: From & { readonly tag: string }): Promise<Reading[]> {
  return withAgent(async (agent) => {
    const head = await read({ url: `${base}/manifests/${tag}`, method: 'HEAD', token, agent })
    const digest = head.contentDigest
    if (digest === undefined) return [head]
    const manifest = await read({ url: `${base}/manifests/${digest}`, token, digest, agent })
    const readings = [head, manifest]
    const blobs = manifest.status === 200 ? blobsOf(manifest.text) : []
    await inParallel(PARALLEL, blobs, async (each) => {
      readings.push(await read({ ...blobOf({ base, token }, each), agent }))
    })
    return readings
  })
}

function blobsOf(manifest: string): string[] {
  const { config, layers } = JSON.parse(manifest) as {
    readonly config: { readonly digest: string }
    readonly layers: readonly { readonly digest: string }[]
  }
  return [config, ...layers].map(({ digest }) => digest)
}

function blobOf({ base, token }: From, digest: string) {
  return { url: `${base}/blobs/${digest}`, token, digest }
}

async function pushImage(
  wish: { readonly base: string; readonly tag: string; readonly image: Image; readonly way: Way },
  agent: Agent,
): Promise<Pushed> {
  const { base, tag, image, way } = wish
  const all: Pushed[] = []
  await inParallel(PARALLEL, [...image.blobs], async (blob) => {
    const url = `${base}/blobs/${blob.digest}`
    const { status } = await send({ url, agent, method: 'HEAD' })
    all.push({ answers: [`HEAD ${status}`], failures: [] })
    if (status !== 200) all.push(await push(base, { blob, way, agent }))
  })
  const body = Buffer.from(image.manifest)
  const headers = { 'content-type': MEDIA_TYPE.OCI_MANIFEST, 'content-length': body.byteLength }
  const url = `${base}/manifests/${tag}`
  const { status } = await send({ url, agent, method: 'PUT', headers, body: [body] })
  const failures = status === 201 ? [] : [`the manifest answered ${status}`]
  return joined([...all, { answers: [`manifest ${status}`], failures }])
}

function joined(all: readonly Pushed[]): Pushed {
  return {
    answers: all.flatMap(({ answers }) => answers),
    failures: all.flatMap(({ failures }) => failures),
  }
}

async function withAgent<Value>(work: (agent: Agent) => Promise<Value>): Promise<Value> {
  const agent = new Agent({ keepAlive: true })
  try {
    return await work(agent)
  } finally {
    agent.destroy()
  }
}

async function inParallel<Each>(
  count: number,
  queue: Each[],
  work: (each: Each) => Promise<void>,
): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async () => {
      for (let each = queue.shift(); each !== undefined; each = queue.shift()) await work(each)
    }),
  )
}

answerCalls(calls)
