// Object storage of a registry on this machine, as its clients see it: Miniflare's S3 endpoint, on a port of
// loopback, by keys that are made anew at each start.

import { randomBytes } from 'node:crypto'

import type { Json, V4WorkerOptionsShape } from 'miniflare'

import { isLoopbackHost } from '../src/oci/host.ts'
import { listenForStorage } from './storage-front.ts'

/** Where Miniflare answers S3 requests, before the bucket. */
const S3_PATH = '/cdn-cgi/local/r2/s3'

/** What a Worker is bound to. */
type Bound = Pick<V4WorkerOptionsShape, 'r2Buckets'>

/** How a registry's storage is to be started. */
export interface LocalStorage {
  /** What the Worker is to be told. */
  readonly settings: Readonly<Record<string, Json>>
  /** The buckets of the Worker, with the keys by which they are to be read. */
  readonly buckets: (declared: Bound) => Bound
  /** Lets clients in, once Miniflare's entry worker listens on this port. */
  readonly open: (entry: number) => void
  readonly close: () => Promise<void>
}

/**
 * Storage for a registry that listens on `host`. Only clients on this machine can be sent to it, so elsewhere it has no
 * keys; nor has it where the settings lead to other storage.
 */
export async function storageFor(
  host: string,
  settings: Readonly<Record<string, Json>>,
): Promise<LocalStorage> {
  const isElsewhere = ['S3_ENDPOINT', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'].some(
    (name) => settings[name] !== undefined && settings[name] !== '',
  )
  if (isElsewhere || !isLoopbackHost(host)) {
    return {
      settings: {},
      buckets: () => ({}),
      open: () => undefined,
      close: async () => undefined,
    }
  }
  const { port, open, close } = await listenForStorage(`${S3_PATH}/`)
  const accessKeyId = randomBytes(16).toString('hex')
  const secretAccessKey = randomBytes(32).toString('hex')
  return {
    settings: {
      S3_ENDPOINT: `http://localhost:${port}${S3_PATH}`,
      S3_ACCESS_KEY_ID: accessKeyId,
      S3_SECRET_ACCESS_KEY: secretAccessKey,
    },
    buckets: (declared) => withCredentials(declared, { accessKeyId, secretAccessKey }),
    open,
    close,
  }
}

function withCredentials(
  { r2Buckets = {} }: Bound,
  s3Credentials: { readonly accessKeyId: string; readonly secretAccessKey: string },
): Bound {
  const entries = Array.isArray(r2Buckets)
    ? r2Buckets.map((name) => [name, name] as const)
    : Object.entries(r2Buckets)
  const withKeys = entries.map(([name, bucket]) => {
    const declared = typeof bucket === 'string' ? { id: bucket } : bucket
    return [name, { ...declared, s3Credentials }] as const
  })
  return { r2Buckets: Object.fromEntries(withKeys) }
}
