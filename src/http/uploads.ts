// end-4a, end-4b, end-4c, end-5, end-6, end-11, end-13 and end-14: blobs on their way in. Bodies are handed on
// as they come; nothing in a `Location` but the session's name, so an old one is as good as a new one.

import { wayBack } from '../oci/address.ts'
import type { Address } from '../oci/address.ts'
import type { Digest } from '../oci/digest.ts'
import { parseDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import type { RegistryErrorOptions } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { formatUploadRange, parseUploadRange } from '../oci/upload-range.ts'
import type { Chunk, UploadRefusal } from '../hosted/upload.ts'
import type { Hosted } from '../registry/repository.ts'
import type { Visit } from './authenticate.ts'
import { addressOf, knownAddress, refusal, targetOf } from './authorize.ts'
import { respond } from './exchange.ts'
import type { Exchange } from './exchange.ts'

/** The best size of a chunk (bytes): one part in storage. Smaller ones are taken all the same. */
const CHUNK_MIN_LENGTH = 8 * 1024 * 1024
/** An anonymous mount tries so many repositories. */
const MAX_SOURCES = 20
const ALGORITHMS: readonly string[] = ['sha256', 'sha512']
/** A UUID, which clients look for in a `Location`, and more of what cannot be guessed. */
const SESSION = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9a-f]{8}$/

/** Where an upload goes. */
interface Target {
  readonly repository: Hosted
  readonly address: Address
}

/** Answers POST: a session, a whole blob, or a blob of another repository. */
export async function startUpload(visit: Visit, target: Target): Promise<Response> {
  const { exchange } = visit
  const { query } = exchange
  if (query.getAll('digest-algorithm').some((each) => !ALGORITHMS.includes(each))) {
    throw new RegistryError('DIGEST_INVALID', { message: 'sha256 and sha512 are supported' })
  }
  // An empty body is a blob like any other, so only the parameter tells a whole upload.
  if (query.has('digest')) return uploadWhole(exchange, target, requireDigest(query, 'digest'))
  if (query.has('mount')) {
    const digest = requireDigest(query, 'mount')
    const sources = await findSources(visit, target, digest)
    if (sources.length > 0 && (await target.repository.mount(digest, sources))) {
      return created(exchange, target, digest)
    }
  }
  const session = createSession()
  await target.repository.upload(session).open()
  return respond(exchange, {
    status: 202,
    headers: {
      ...whereIs(target, session, 0),
      [HEADER.ociChunkMinLength]: String(CHUNK_MIN_LENGTH),
      [HEADER.contentLength]: '0',
    },
  })
}

/** Answers PATCH, PUT, GET, HEAD and DELETE of a session. */
export async function continueUpload(
  exchange: Exchange,
  target: Target,
  session: string,
): Promise<Response> {
  // Whatever else is written there has never been handed out.
  if (!SESSION.test(session)) throw new RegistryError('BLOB_UPLOAD_UNKNOWN')
  switch (exchange.method) {
    case 'PATCH':
      return appendChunk(exchange, target, session)
    case 'PUT':
      return closeUpload(exchange, target, session)
    case 'DELETE':
      return cancelUpload(exchange, target, session)
    default:
      return getStatus(exchange, target, session)
  }
}

async function uploadWhole(exchange: Exchange, target: Target, digest: Digest): Promise<Response> {
  const session = createSession()
  const upload = target.repository.upload(session)
  await upload.open()
  const length = lengthOf(exchange)
  const answer = await upload.close({ digest, range: undefined, length }, exchange.body)
  if (!answer.ok) {
    // Nobody knows its name; only what is still being put together goes on.
    if (answer.reason !== 'later') await upload.cancel()
    throw refusalOf(answer, {})
  }
  exchange.bytes = answer.size
  return created(exchange, target, digest)
}

async function appendChunk(exchange: Exchange, target: Target, session: string): Promise<Response> {
  const chunk = chunkOf(exchange)
  const answer = await target.repository.upload(session).append(chunk, exchange.body)
  if (!answer.ok) throw refusalAt(answer, target, session)
  exchange.bytes = answer.offset
  const headers = { ...whereIs(target, session, answer.offset), [HEADER.contentLength]: '0' }
  return respond(exchange, { status: 202, headers })
}

async function closeUpload(exchange: Exchange, target: Target, session: string): Promise<Response> {
  const digest = requireDigest(exchange.query, 'digest')
  const closing = { digest, ...chunkOf(exchange) }
  const answer = await target.repository.upload(session).close(closing, exchange.body)
  if (!answer.ok) throw refusalAt(answer, target, session)
  exchange.bytes = answer.size
  return created(exchange, target, digest)
}

async function getStatus(exchange: Exchange, target: Target, session: string): Promise<Response> {
  const answer = await target.repository.upload(session).status()
  if (!answer.ok) throw refusalAt(answer, target, session)
  return respond(exchange, { status: 204, headers: whereIs(target, session, answer.offset) })
}

async function cancelUpload(
  exchange: Exchange,
  target: Target,
  session: string,
): Promise<Response> {
  const isCancelled = await target.repository.upload(session).cancel()
  if (!isCancelled) throw new RegistryError('BLOB_UPLOAD_UNKNOWN')
  return respond(exchange, { status: 204 })
}

/**
 * Where a blob may be mounted from. What this caller may not read is not tried, and nothing tells it from what does
 * not exist. A `from` that is no hosted repository names no source, as if it were not there.
 * @throws {RegistryError} UNAUTHORIZED where the caller's account may read a source and its token does not say so.
 */
async function findSources(
  visit: Visit,
  { repository, address: target }: Target,
  digest: Digest,
): Promise<readonly RepositoryName[]> {
  const { exchange, visitor } = visit
  const { config } = visit.services
  const from = exchange.query.get('from')
  const source = from === null ? undefined : addressOf(from, config)
  const names = source?.kind === 'hosted' ? [source.canonical] : await repository.holders(digest)
  const sources: RepositoryName[] = []
  const untold: string[] = []
  for (const name of names) {
    const address = knownAddress(name, config)
    if (address?.kind !== 'hosted') continue
    const asked = targetOf(address, config)
    if (await visitor.may('read', asked)) sources.push(address.repository)
    else if (await visitor.mayByAccount('read', asked)) untold.push(name)
    if (sources.length === MAX_SOURCES) break
  }
  const [first] = untold
  if (sources.length > 0 || first === undefined) return sources
  throw await refusal(visit, [
    { type: 'repository', name: target.canonical, actions: ['pull', 'push'] },
    { type: 'repository', name: first, actions: ['pull'] },
  ])
}

function created(exchange: Exchange, { address }: Target, digest: Digest): Response {
  return respond(exchange, {
    status: 201,
    headers: {
      [HEADER.location]: wayBack(address, `/blobs/${digest}`, new URLSearchParams()),
      [HEADER.dockerContentDigest]: digest,
      [HEADER.contentLength]: '0',
    },
  })
}

function whereIs({ address }: Target, session: string, offset: number): Record<string, string> {
  return {
    [HEADER.location]: wayBack(address, `/blobs/uploads/${session}`, new URLSearchParams()),
    [HEADER.range]: formatUploadRange(offset),
    [HEADER.dockerUploadUUID]: session,
  }
}

function refusalAt(refused: UploadRefusal, target: Target, session: string): RegistryError {
  return refusalOf(refused, 'offset' in refused ? whereIs(target, session, refused.offset) : {})
}

function refusalOf(
  refused: UploadRefusal,
  headers: NonNullable<RegistryErrorOptions['headers']>,
): RegistryError {
  switch (refused.reason) {
    case 'unknown':
      return new RegistryError('BLOB_UPLOAD_UNKNOWN')
    case 'out-of-order':
      return new RegistryError('BLOB_UPLOAD_INVALID', {
        status: 416,
        message: 'the chunk does not begin where the upload ends',
        headers,
      })
    case 'length':
      return new RegistryError('SIZE_INVALID', { headers })
    case 'cut':
      return new RegistryError('BLOB_UPLOAD_INVALID', { message: 'the body was cut', headers })
    case 'digest':
      return new RegistryError('DIGEST_INVALID')
    case 'too-large':
      return new RegistryError('SIZE_INVALID', {
        status: 413,
        message: `a blob can have ${refused.limit} bytes at most`,
      })
    case 'later':
      return new RegistryError('UNKNOWN', {
        status: 503,
        message: 'the digest of this upload is still being taken; ask again',
        headers: { ...headers, [HEADER.retryAfter]: String(refused.retryAfter) },
      })
    default:
      return refused satisfies never
  }
}

function createSession(): string {
  const more = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0
  return `${crypto.randomUUID()}-${more.toString(16).padStart(8, '0')}`
}

function requireDigest(query: URLSearchParams, name: 'digest' | 'mount'): Digest {
  const [text = '', ...more] = query.getAll(name)
  const digest = parseDigest(text)
  if (digest === undefined || more.some((each) => each !== text)) {
    throw new RegistryError('DIGEST_INVALID', { detail: { digest: text } })
  }
  return digest
}

function chunkOf(exchange: Exchange): Chunk {
  const range = parseUploadRange(exchange.headers.get(HEADER.contentRange))
  if (range === 'invalid') {
    throw new RegistryError('BLOB_UPLOAD_INVALID', { message: 'Content-Range is malformed' })
  }
  return { range, length: lengthOf(exchange) }
}

function lengthOf({ headers }: Exchange): number | undefined {
  const text = headers.get(HEADER.contentLength)
  return text === null ? undefined : Number(text)
}
