// Presigned URLs: the right to read one stored object for two minutes, made without asking anybody (AWS Signature
// Version 4 in the query, which R2 takes at its S3 endpoint). Whoever holds one needs nothing else: it is never
// logged and never stored.

import { AwsV4Signer } from 'aws4fetch'
import type { LocatedBlob } from './located-blob.ts'

/** How long a URL can be used (seconds). That counts when a download begins: a slow one is not cut. */
const EXPIRES = 120
/** R2 has one region. */
const REGION = 'auto'

/** Where stored objects can be read by S3's protocol, and by whom. */
export interface S3Bucket {
  /** Without the bucket; it may have a path. */
  readonly endpoint: URL
  readonly bucket: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** Makes presigned URLs for one bucket. */
export class Presigner {
  readonly #bucket: S3Bucket
  /** The key that signs belongs to a day; deriving it takes four of the five HMACs of a signature. */
  readonly #keys = new Map<string, ArrayBuffer>()
  #day = ''

  constructor(bucket: S3Bucket) {
    this.#bucket = bucket
  }

  /**
   * The URL by which a blob can be read, by GET only, signed at `now` (milliseconds). `endpoint` is that of the bucket,
   * or another name of it. `undefined` where a URL would name another object than the key does.
   */
  async presign({ key }: LocatedBlob, endpoint: URL, now: number): Promise<string | undefined> {
    const { bucket, accessKeyId, secretAccessKey } = this.#bucket
    const url = new URL(endpoint)
    const path = `${url.pathname.replace(/\/$/, '')}/${bucket}/${key}`
    url.pathname = path.split('/').map(encodeURIComponent).join('/')
    // `URL` resolves `.` and `..`, also where they are encoded.
    if (decodeURIComponent(url.pathname) !== path) return undefined
    url.searchParams.set('X-Amz-Expires', String(EXPIRES))
    const signed = await new AwsV4Signer({
      method: 'GET',
      url: url.href,
      accessKeyId,
      secretAccessKey,
      service: 's3',
      region: REGION,
      signQuery: true,
      datetime: formatDate(now),
      cache: this.#keysOf(now),
    }).sign()
    return signed.url.href
  }

  #keysOf(now: number): Map<string, ArrayBuffer> {
    const day = formatDate(now).slice(0, 8)
    if (day !== this.#day) this.#keys.clear()
    this.#day = day
    return this.#keys
  }
}

/** ISO 8601 in its basic form, as S3 has it: `20261122T230705Z`. */
function formatDate(now: number): string {
  return new Date(now).toISOString().replaceAll(/[:-]|\.\d{3}/g, '')
}
