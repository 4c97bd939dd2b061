// A client of the operation budget: single requests whose answers are read to the end and held to their digest, and
// the push of an image to a hosted repository.

import { createHash } from 'node:crypto'

import type { SampleManifest } from '../../cli/sample-image.ts'

/** One request. */
export interface Ask {
  readonly method?: 'GET' | 'HEAD'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
}

/** What came of it; a redirect is not followed. */
export interface Answered {
  /** `X-Request-Id`, by which its spans are found. */
  readonly id: string
  readonly status: number
  readonly headers: Headers
}

/** Sends a request. @throws when the bytes of a whole answer are not those of its digest. */
export async function ask(
  server: string,
  { method = 'GET', path, headers = {} }: Ask,
): Promise<Answered> {
  const answer = await fetch(`${server}${path}`, { method, headers, redirect: 'manual' })
  const bytes = Buffer.from(await answer.arrayBuffer())
  const digest = answer.headers.get('docker-content-digest')
  if (method === 'GET' && answer.status === 200 && digest !== null) {
    const actual = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    if (actual !== digest) throw new Error(`${path}: the bytes have ${actual}, not ${digest}`)
  }
  return {
    id: answer.headers.get('x-request-id') ?? '',
    status: answer.status,
    headers: answer.headers,
  }
}

/** Pushes an image under a tag. */
export async function pushImage(
  registry: string,
  image: SampleManifest,
  login: Readonly<Record<string, string>>,
): Promise<void> {
  const headers = { ...login, 'content-type': 'application/octet-stream' }
  for (const { bytes, digest } of image.blobs) {
    const url = `${registry}/blobs/uploads/?digest=${digest}`
    await created(url, { method: 'POST', headers, body: Buffer.from(bytes) })
  }
  await created(`${registry}/manifests/v1`, {
    method: 'PUT',
    headers: { ...login, 'content-type': image.mediaType },
    body: Buffer.from(image.bytes),
  })
}

async function created(url: string, init: RequestInit): Promise<void> {
  const answer = await fetch(url, init)
  const body = await answer.text()
  if (answer.status !== 201) throw new Error(`${url}: ${answer.status} ${body}`)
}
