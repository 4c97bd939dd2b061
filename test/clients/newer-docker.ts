// What a Docker daemon with moby #46594 sends to a mirror whose URL has a path: `/<host>/v2/…`. Debian's daemon
// is older and refuses such a URL, so its requests are replayed, header lines, redirects and resumption included.

import { type IncomingHttpHeaders, request } from 'node:http'
import { hostsURL } from '../../src/http/pages/snippets.ts'
import { type Client, DOCKER_HUB, expectBytes, expectEqual } from './client.ts'
import { type Content, HERE, type Image, partsOf } from './image.ts'
import { type Endpoint, placeOf } from './registry.ts'

/** One header line each, as the daemon writes them. */
const ACCEPT = [
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.index.v1+json',
]

/** Header lines to send. */
type Lines = Readonly<Record<string, string | readonly string[]>>

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer<ArrayBuffer>
}

/** The requests of `docker pull` through `registry-mirrors: ["http://<registry>/docker.io"]`. */
export function newerDocker(image: Image, authorization?: string): Client {
  const { blobs } = partsOf(image, 'platform')
  const pull = async (registry: Endpoint): Promise<void> => {
    const base = `${hostsURL(placeOf(registry), 'path base', DOCKER_HUB)}/v2/`
    const given = authorization === undefined ? {} : { Authorization: authorization }
    const ping = await send('GET', base, given)
    const login = { ...given, ...(await tokenOf(ping, image)) }
    const repository = `${base}${image.repository}`
    const accept = { ...login, Accept: ACCEPT }
    const head = await send('HEAD', `${repository}/manifests/${image.tag}`, accept)
    expectManifest(head, image.top)
    expectEqual('body of a HEAD', head.body.length, 0)
    const platform = image.platforms.find(({ architecture }) => architecture === HERE)
    for (const manifest of [image.top, platform?.manifest ?? image.top]) {
      const url = `${repository}/manifests/${manifest.digest}`
      const answer = await send('GET', url, accept)
      expectManifest(answer, manifest)
      expectBytes(manifest, answer.body)
    }
    await Promise.all(
      blobs.map((blob) => pullBlob(`${repository}/blobs/${blob.digest}`, blob, login)),
    )
  }
  return { name: `newer dockerd ${DOCKER_HUB} path base`, image, parts: 'platform', pull }
}

/** All of it, then its second half again, as after a broken connection. */
async function pullBlob(url: string, blob: Content, login: Lines): Promise<void> {
  const identity = { ...login, 'Accept-Encoding': 'identity' }
  const whole = await send('GET', url, identity)
  expectEqual(`status of ${url}`, whole.status, 200)
  expectEqual('Content-Length', whole.headers['content-length'], String(blob.bytes.length))
  expectBytes(blob, whole.body)
  const from = Math.floor(blob.bytes.length / 2)
  const rest = await send('GET', url, { ...identity, Range: `bytes=${from}-` })
  expectEqual(`status of the rest of ${url}`, rest.status, 206)
  expectEqual(
    'Content-Range',
    rest.headers['content-range'],
    `bytes ${from}-${blob.bytes.length - 1}/${blob.bytes.length}`,
  )
  expectBytes(blob, Buffer.concat([whole.body.subarray(0, from), rest.body]))
}

/** It asks for no token where the ping is answered without a challenge, and for nobody's where it has no login. */
async function tokenOf({ status, headers }: Answer, { repository }: Image): Promise<Lines> {
  if (status === 200) return {}
  if (status !== 401) throw new Error(`the ping was answered ${status}`)
  const challenge = String(headers['www-authenticate'])
  const [, realm = '', service = ''] = /^Bearer realm="(.+?)",service="(.+?)"/.exec(challenge) ?? []
  const url = new URL(realm)
  url.search = String(new URLSearchParams({ scope: `repository:${repository}:pull`, service }))
  const { body } = await send('GET', url.href, {})
  return { Authorization: `Bearer ${JSON.parse(body.toString()).token}` }
}

function expectManifest({ status, headers }: Answer, manifest: Content): void {
  expectEqual('status of a manifest', status, 200)
  expectEqual('Content-Type', headers['content-type'], manifest.mediaType)
  expectEqual('Content-Length', headers['content-length'], String(manifest.bytes.length))
  expectEqual('Docker-Content-Digest', headers['docker-content-digest'], manifest.digest)
}

/**
 * Follows redirects as Go does: with every header, but `Authorization` only to the host that it was for and to those
 * below it, and with the URL of before as `Referer`.
 */
async function send(method: string, url: string, headers: Lines): Promise<Answer> {
  const answer = await sendOnce(method, url, headers)
  const { location } = answer.headers
  if (answer.status !== 307 || location === undefined) return answer
  const { Authorization: login, ...others } = headers
  const [from, to] = [new URL(url).hostname, new URL(location).hostname]
  const isBelow = to === from || to.endsWith(`.${from}`)
  const kept = isBelow && login !== undefined ? { Authorization: login } : {}
  return sendOnce(method, location, { ...others, ...kept, Referer: url })
}

function sendOnce(method: string, url: string, headers: Lines): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const userAgent = 'docker/24.0.9 go/go1.20.13 kernel/6.1.0 os/linux arch/amd64'
    const sent = request(url, { method, headers: { 'User-Agent': userAgent, ...headers } })
    sent.once('error', reject)
    sent.once('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('error', reject)
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks),
        }),
      )
    })
    sent.end()
  })
}
