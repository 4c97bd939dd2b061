// A registry for the doctor, as well as can be, on a port of its own, and the storage that it redirects to, on
// another. A test replaces single answers by wrong ones.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, OutgoingHttpHeaders, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { sampleImage } from '../../cli/sample-image.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'

/** What a request is for. */
export type Ailing =
  | 'base'
  | 'health'
  | 'status'
  | 'status of an administrator'
  | 'token'
  | 'token of an account'
  | 'catalog'
  | 'tags'
  | 'manifest'
  | 'manifest HEAD'
  | 'blob'
  | 'blob HEAD'
  | 'range'
  | 'upload'
  | 'cancel'
  | 'storage'
  | 'storage range'

/** An answer; what is left out is as it should be, and a header of `undefined` is taken away. */
export interface Symptom {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly body?: string | Uint8Array
  /** Instead of an answer: never one, an end in mid-body, or none and a closed connection. */
  readonly silence?: 'hang' | 'cut' | 'close'
}

/** Where the registry and its storage are. */
export interface Places {
  readonly registry: string
  readonly storage: string
}

/** What is wrong, by what it is asked for. */
export type Symptoms = (places: Places) => Partial<Record<Ailing, Symptom>>

/** A registry that runs. */
export interface PatientServer {
  readonly url: URL
  /** What was asked, with the `Authorization` that came. */
  readonly asked: readonly { readonly what: Ailing; readonly authorization: string | undefined }[]
  readonly close: () => Promise<void>
}

/** The image that it has: one manifest, a config and a layer. */
export const IMAGE = await sampleImage({ layers: [5000] })
/** The blob that the doctor looks at: the smallest that is longer than the range it asks for. */
export const [BLOB] = IMAGE.blobs.toSorted((a, b) => a.bytes.length - b.bytes.length)
/** The repository and tag of the image. */
export const REPOSITORY = 'docker.io/library/hello-world'

interface Healthy {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string | Uint8Array
}

/** Starts it. */
export async function startPatient(symptoms: Symptoms = () => ({})): Promise<PatientServer> {
  const asked: { what: Ailing; authorization: string | undefined }[] = []
  const serve = (kindOf: (message: IncomingMessage) => Ailing): Server =>
    createServer((message, response) => {
      const what = kindOf(message)
      asked.push({ what, authorization: message.headers.authorization })
      send(response, healthy(what, places.registry), symptoms(places)[what] ?? {})
    })
  const registry = await listen(serve(nameRequest))
  const storage = await listen(
    serve(({ headers }) => (headers.range === undefined ? 'storage' : 'storage range')),
  )
  const places = {
    registry: `http://127.0.0.1:${portOf(registry)}`,
    storage: `http://localhost:${portOf(storage)}`,
  }
  return {
    url: new URL(places.registry),
    asked,
    close: async () => {
      await Promise.all([close(registry), close(storage)])
    },
  }
}

/** A redirect to storage, as entrepot makes it. */
export function redirectTo(target: string, more: Symptom['headers'] = {}): Symptom {
  return {
    status: 307,
    headers: {
      location: target,
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      ...more,
    },
    body: '',
  }
}

/** By method and path, the first that fits. */
const REQUESTS: readonly (readonly [pattern: RegExp, what: Ailing])[] = [
  [/^GET \/v2\/$/, 'base'],
  [/^GET \/healthz$/, 'health'],
  [/^GET \/v2\/_catalog/, 'catalog'],
  [/^GET \/.*\/tags\/list/, 'tags'],
  [/^GET \/.*\/manifests\//, 'manifest'],
  [/^HEAD \/.*\/manifests\//, 'manifest HEAD'],
  [/^HEAD \/.*\/blobs\//, 'blob HEAD'],
  [/^POST /, 'upload'],
  [/^DELETE /, 'cancel'],
]

function nameRequest({ url = '', method = '', headers }: IncomingMessage): Ailing {
  const hasLogin = headers.authorization?.startsWith('Basic ') === true
  if (url.startsWith('/_/upstreams')) return hasLogin ? 'status of an administrator' : 'status'
  if (url.startsWith('/token')) {
    return hasLogin && !url.includes('scope=') ? 'token of an account' : 'token'
  }
  const named = REQUESTS.find(([pattern]) => pattern.test(`${method} ${url}`))?.[1]
  return named ?? (headers.range === undefined ? 'blob' : 'range')
}

const MARKS = {
  'docker-distribution-api-version': 'registry/2.0',
  'x-request-id': '0',
  'cache-status': 'entrepot; hit',
}

function healthy(what: Ailing, registry: string): Healthy {
  const { status = 200, headers = {}, body = '' } = answers(registry)[what]
  return { status, body, headers: { ...MARKS, ...headers } }
}

function answers(registry: string): Readonly<Record<Ailing, Symptom>> {
  const { bytes = new Uint8Array(), digest = '' } = BLOB ?? {}
  const manifest = {
    headers: { 'content-type': MEDIA_TYPE.OCI_MANIFEST, 'docker-content-digest': IMAGE.digest },
    body: IMAGE.bytes,
  }
  const blob = { headers: { 'docker-content-digest': digest }, body: bytes }
  const range = {
    status: 206,
    headers: { 'content-range': `bytes 0-63/${bytes.length}` },
    body: bytes.subarray(0, 64),
  }
  const challenge = `Bearer realm="${registry}/token",service="${new URL(registry).host}"`
  return {
    base: json({}),
    health: { headers: { 'content-type': 'text/plain' }, body: 'ok\n' },
    status: { status: 401, headers: { 'www-authenticate': challenge } },
    'status of an administrator': json({ upstreams: [{ host: 'docker.io', gates: [] }] }),
    token: json({ token: 'canary-token' }),
    'token of an account': json({ token: 'canary-token' }),
    catalog: json({ repositories: [REPOSITORY] }),
    tags: json({ tags: ['1.0', 'latest', 'nightly'] }),
    manifest,
    'manifest HEAD': manifest,
    blob,
    'blob HEAD': blob,
    range,
    storage: blob,
    'storage range': range,
    upload: { status: 202, headers: { location: '/v2/hosted/app/blobs/uploads/1' } },
    cancel: { status: 204 },
  }
}

function json(value: object): Symptom {
  return {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(value),
  }
}

function send(response: ServerResponse, well: Healthy, symptom: Symptom): void {
  if (symptom.silence === 'hang') return
  if (symptom.silence === 'close') {
    response.destroy()
    return
  }
  const body = Buffer.from(symptom.body ?? well.body)
  const length = symptom.silence === 'cut' ? body.length + 1 : body.length
  const all = { 'content-length': String(length), ...well.headers, ...symptom.headers }
  const headers: OutgoingHttpHeaders = Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== undefined),
  )
  const status = symptom.status ?? well.status
  if (status === 204) delete headers['content-length']
  response.writeHead(status, headers)
  if (symptom.silence === 'cut') {
    response.write(body, () => response.destroy())
    return
  }
  response.end(body)
}

async function listen(server: Server): Promise<Server> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
}
