// The writing half of the sample upstream: upload sessions, mounts, manifest pushes, deletes. It is
// here so that the official conformance suite can hold the sample to the spec.

import { algorithmOf, type Digest, digestOf, parseDigest } from '../src/oci/digest.ts'
import { RegistryError } from '../src/oci/error.ts'
import { HEADER } from '../src/oci/header.ts'
import { inspectManifest } from '../src/oci/manifest.ts'
import { parseTag, type Reference } from '../src/oci/reference.ts'
import { type Answer, createAnswer } from './upstream-answer.ts'
import type { UpstreamContent } from './upstream-content.ts'

const MANIFEST_LIMIT = 4 * 1024 * 1024

interface Session {
  readonly repository: string
  chunks: Uint8Array[]
  size: number
}

/** Answers pushes and deletes, and changes the content. */
export class UpstreamPush {
  readonly #content: UpstreamContent
  readonly #sessions = new Map<string, Session>()

  constructor(content: UpstreamContent) {
    this.#content = content
  }

  /** end-4a, end-4b, end-4c, end-11: opens a session, or takes the whole blob, or mounts one. */
  async start(name: string, request: Request): Promise<Answer> {
    const query = new URL(request.url).searchParams
    const mounted = await this.#mount(name, query)
    if (mounted !== undefined) {
      return mounted
    }
    const digest = query.get('digest')
    if (digest !== null) {
      return await this.#keep(name, await readBytes(request), digest)
    }
    const algorithm = query.get('digest-algorithm') ?? 'sha256'
    if (algorithm !== 'sha256' && algorithm !== 'sha512') {
      throw new RegistryError('DIGEST_INVALID')
    }
    const id = crypto.randomUUID()
    this.#sessions.set(id, { repository: name, chunks: [], size: 0 })
    return this.#accept(name, id, 202)
  }

  /** end-5, end-6, end-13, end-14: one step of a session. */
  async continue(name: string, id: string, request: Request): Promise<Answer> {
    const session = this.#sessions.get(id)
    if (session?.repository !== name) {
      throw new RegistryError('BLOB_UPLOAD_UNKNOWN')
    }
    if (request.method === 'DELETE') {
      this.#sessions.delete(id)
      return createAnswer(204, {})
    }
    if (request.method === 'GET' || request.method === 'HEAD') {
      return this.#accept(name, id, 204)
    }
    await append(session, request)
    if (request.method === 'PATCH') {
      return this.#accept(name, id, 202)
    }
    this.#sessions.delete(id)
    const digest = new URL(request.url).searchParams.get('digest') ?? ''
    return await this.#keep(name, joinBytes(session.chunks, session.size), digest)
  }

  /** end-7: keeps the bytes as they are; what a manifest names need not exist. */
  async putManifest(name: string, reference: Reference, request: Request): Promise<Answer> {
    const bytes = await readBytes(request)
    if (bytes.length > MANIFEST_LIMIT) {
      throw new RegistryError('SIZE_INVALID', { status: 413 })
    }
    const inspection = inspectManifest(bytes, request.headers.get(HEADER.contentType))
    if (!inspection.ok) {
      throw new RegistryError('MANIFEST_INVALID', { message: inspection.reason })
    }
    const { mediaType, subject } = inspection
    const isDigest = reference.kind === 'digest'
    const digest = await digestOf(bytes, isDigest ? algorithmOf(reference.digest) : 'sha256')
    if (isDigest && digest !== reference.digest) {
      throw new RegistryError('DIGEST_INVALID')
    }
    const tags = new URL(request.url).searchParams.getAll('tag')
    if (tags.some((tag) => parseTag(tag) === undefined)) {
      throw new RegistryError('MANIFEST_INVALID', { message: 'A tag is not valid.' })
    }
    await this.#content.addManifest(name, bytes, { mediaType, digest })
    const targets = this.#content.open(name).tags
    for (const tag of isDigest ? tags : [reference.tag, ...tags]) {
      targets.set(tag, digest)
    }
    const answer = created(`/v2/${name}/manifests/${digest}`, digest)
    if (subject !== undefined) {
      answer.headers.set(HEADER.ociSubject, subject)
    }
    for (const tag of tags) {
      answer.headers.append('OCI-Tag', tag)
    }
    return answer
  }

  /** end-9: a tag alone, or a manifest with every tag that points at it. */
  deleteManifest(name: string, reference: Reference): Answer {
    const repository = this.#content.find(name)
    if (repository === undefined) {
      throw new RegistryError('NAME_UNKNOWN')
    }
    const isDeleted =
      reference.kind === 'tag'
        ? repository.tags.delete(reference.tag)
        : this.#content.deleteManifest(name, reference.digest)
    if (!isDeleted) {
      throw new RegistryError('MANIFEST_UNKNOWN')
    }
    return createAnswer(202, {})
  }

  /** end-10 */
  deleteBlob(name: string, digest: Digest): Answer {
    if (this.#content.find(name)?.blobs.delete(digest)) {
      return createAnswer(202, {})
    }
    throw new RegistryError('BLOB_UNKNOWN')
  }

  /** `undefined` when nothing was to be mounted or the blob is not there, and a session must do. */
  async #mount(name: string, query: URLSearchParams): Promise<Answer | undefined> {
    const digest = parseDigest(query.get('mount') ?? '')
    if (digest === undefined) {
      return undefined
    }
    const from = query.get('from')
    const bytes =
      from === null ? this.#content.findBlob(digest) : this.#content.find(from)?.blobs.get(digest)
    if (bytes === undefined) {
      return undefined
    }
    await this.#content.addBlob(name, bytes, digest)
    return created(`/v2/${name}/blobs/${digest}`, digest)
  }

  async #keep(name: string, bytes: Uint8Array, text: string): Promise<Answer> {
    const digest = parseDigest(text)
    if (digest === undefined || (await digestOf(bytes, algorithmOf(digest))) !== digest) {
      throw new RegistryError('DIGEST_INVALID')
    }
    await this.#content.addBlob(name, bytes, digest)
    return created(`/v2/${name}/blobs/${digest}`, digest)
  }

  #accept(name: string, id: string, status: number): Answer {
    const size = this.#sessions.get(id)?.size ?? 0
    return createAnswer(status, {
      [HEADER.location]: `/v2/${name}/blobs/uploads/${id}`,
      [HEADER.range]: `0-${Math.max(size - 1, 0)}`,
      'Docker-Upload-UUID': id,
    })
  }
}

/** Adds the body of a PATCH or PUT. A chunk that does not start where the session stands is refused and changes nothing. */
async function append(session: Session, request: Request): Promise<void> {
  const range = request.headers.get(HEADER.contentRange)
  const bytes = await readBytes(request)
  if (range !== null) {
    const [, first, last] = /^(\d+)-(\d+)$/.exec(range) ?? []
    if (Number(first) !== session.size) {
      throw new RegistryError('BLOB_UPLOAD_INVALID', { status: 416 })
    }
    if (Number(last) - Number(first) + 1 !== bytes.length) {
      throw new RegistryError('SIZE_INVALID')
    }
  }
  session.chunks.push(bytes)
  session.size += bytes.length
}

function created(location: string, digest: Digest): Answer {
  return createAnswer(201, {
    [HEADER.location]: location,
    [HEADER.dockerContentDigest]: digest,
  })
}

async function readBytes(request: Request): Promise<Uint8Array> {
  return new Uint8Array(await request.arrayBuffer())
}

function joinBytes(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const joined = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    joined.set(chunk, offset)
    offset += chunk.length
  }
  return joined
}
