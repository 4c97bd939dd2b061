// An export on its way out of a registry into a file, and back. The file is the index, one line, and then all parts;
// every part is held against its hash on the way.

import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import { ExportError, parseIndex } from '../src/jobs/export-file.ts'
import type { ExportIndex } from '../src/jobs/export-file.ts'
import type { AdminClient } from './admin-client.ts'
import { Failure, describeFault } from './failure.ts'

/** No index is larger (bytes). */
const MAX_INDEX = 8 * 1024 * 1024
const NEWLINE = 10
const TYPE = 'application/x-ndjson'

/** Told how many bytes have gone, and of how many. */
export type Passed = (done: number, total: number) => void

/** Bytes as they come. */
type Chunks = AsyncIterator<Uint8Array, undefined>

/**
 * Sees to it that a file can be written, before anybody works for it.
 * @throws {Failure}
 */
export async function requireWritable(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined)
  if (found?.isDirectory() === true) throw new Failure(`cannot write ${file}: it is a folder`)
  // Another file takes its place in the end.
  if (found?.isFile() === false) throw new Failure(`cannot write ${file}: it is no usual file`)
  const draft = draftOf(file)
  await (await openDraft(file)).close()
  await rm(draft, { force: true })
}

/**
 * Writes an export to a file, which is there whole or not at all.
 * @throws {Failure}
 */
export async function takeExport(
  client: AdminClient,
  id: string,
  { file, passed }: { readonly file: string; readonly passed: Passed },
): Promise<ExportIndex> {
  await requireWritable(file)
  const draft = draftOf(file)
  const body = await client.download(`exports/${id}`)
  const handle = await openDraft(file)
  const forget = (): void => rmSync(draft, { force: true })
  process.once('exit', forget)
  try {
    const index = await copy(new Reader(body[Symbol.asyncIterator]()), handle, passed)
    await handle.sync()
    await handle.close()
    await rename(draft, file)
    return index
  } catch (error) {
    await handle.close().catch(() => undefined)
    forget()
    if (isFault(error)) throw unwritable(file, error)
    throw readable(error, `the export ${id}`)
  } finally {
    process.removeListener('exit', forget)
  }
}

/**
 * Brings the export of a file to a registry, of which it sends what is missing there. Its id.
 * @throws {Failure}
 */
export async function bringExport(
  client: AdminClient,
  file: string,
  passed: Passed,
): Promise<string> {
  const handle = await open(file, 'r').catch((cause: unknown) => {
    throw new Failure(`cannot read ${file}: ${describeFault(cause)}`, { cause })
  })
  try {
    const line = await readLine(handle)
    const index = parseIndex(line)
    const path = `exports/${index.id}`
    const offsets = offsetsOf(index, line.length + 1)
    // Again after the parts: then all of it is there, or it is told what is not.
    for (let attempt = 0; attempt < 2; attempt++) {
      const missing = (await client.upload(path, line, TYPE)).numbers('missing')
      if (missing.length === 0) return index.id
      await sendParts(client, { handle, index, offsets, missing, passed })
    }
    if ((await client.upload(path, line, TYPE)).numbers('missing').length === 0) return index.id
    throw new Failure(`${client.url.origin} does not keep the parts of ${file}`)
  } catch (error) {
    throw readable(error, file)
  } finally {
    await handle.close()
  }
}

interface Sending {
  readonly handle: FileHandle
  readonly index: ExportIndex
  readonly offsets: readonly number[]
  readonly missing: readonly number[]
  readonly passed: Passed
}

async function sendParts(
  client: AdminClient,
  { handle, index, offsets, missing, passed }: Sending,
): Promise<void> {
  const total = missing.reduce((sum, n) => sum + (index.parts[n]?.bytes ?? 0), 0)
  let done = 0
  for (const n of missing) {
    const part = index.parts[n]
    const offset = offsets[n]
    if (part === undefined || offset === undefined) throw new ExportError(`it has no part ${n}`)
    const bytes = await readAt(handle, offset, part.bytes)
    hold(part, n, createHash('sha256').update(bytes).digest('hex'))
    await client.upload(`exports/${index.id}?part=${n}`, bytes, TYPE)
    done += part.bytes
    passed(done, total)
  }
}

/** Where each part begins in the file. */
function offsetsOf({ parts }: ExportIndex, first: number): readonly number[] {
  let offset = first
  return parts.map(({ bytes }) => {
    offset += bytes
    return offset - bytes
  })
}

async function copy(reader: Reader, handle: FileHandle, passed: Passed): Promise<ExportIndex> {
  const line = await reader.line()
  const index = parseIndex(line)
  const total = index.parts.reduce((sum, { bytes }) => sum + bytes, 0)
  await handle.writeFile(line)
  await handle.writeFile('\n')
  let done = 0
  for (const [n, part] of index.parts.entries()) {
    const hash = createHash('sha256')
    for await (const chunk of reader.take(part.bytes)) {
      hash.update(chunk)
      await handle.writeFile(chunk)
      done += chunk.length
      passed(done, total)
    }
    hold(part, n, hash.digest('hex'))
  }
  return index
}

/** @throws {ExportError} */
function hold(part: ExportIndex['parts'][number], n: number, sha256: string): void {
  if (part.sha256 !== sha256)
    throw new ExportError(`part ${n} has another SHA-256 than its index says`)
}

async function readLine(handle: FileHandle): Promise<Uint8Array<ArrayBuffer>> {
  const { size } = await handle.stat()
  const head = await readAt(handle, 0, Math.min(size, MAX_INDEX))
  const end = head.indexOf(NEWLINE)
  if (end < 0)
    throw new ExportError('this is no export: it does not begin with the line of an index')
  return head.slice(0, end)
}

async function readAt(
  handle: FileHandle,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled)
    if (bytesRead === 0) throw new ExportError('it ends before its last part does')
    filled += bytesRead
  }
  return bytes
}

/** A stream that is read by lines and lengths. */
class Reader {
  readonly #chunks: Chunks
  #rest: Uint8Array = new Uint8Array()

  constructor(chunks: AsyncIterator<Uint8Array, unknown>) {
    this.#chunks = chunks as Chunks
  }

  /** The bytes before the next newline, which is gone then. */
  async line(): Promise<Uint8Array<ArrayBuffer>> {
    let line = Buffer.alloc(0)
    for (;;) {
      const end = this.#rest.indexOf(NEWLINE)
      const taken = end < 0 ? this.#rest : this.#rest.subarray(0, end)
      line = Buffer.concat([line, taken])
      this.#rest = this.#rest.subarray(end < 0 ? taken.length : end + 1)
      if (end >= 0) return new Uint8Array(line)
      if (line.length > MAX_INDEX) throw new ExportError('it does not begin with an index')
      await this.#more()
    }
  }

  /** The next bytes, so many. */
  async *take(length: number): AsyncGenerator<Uint8Array> {
    let left = length
    while (left > 0) {
      if (this.#rest.length === 0) await this.#more()
      const taken = this.#rest.subarray(0, left)
      this.#rest = this.#rest.subarray(taken.length)
      left -= taken.length
      yield taken
    }
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next().catch((cause: unknown) => {
      throw new ExportError('it broke off', { cause })
    })
    if (done === true) throw new ExportError('it broke off')
    this.#rest = value
  }
}

function draftOf(file: string): string {
  return `${file}.${process.pid}.part`
}

/** @throws {Failure} */
async function openDraft(file: string): Promise<FileHandle> {
  const draft = draftOf(file)
  // It holds hashes of secrets.
  return open(draft, 'wx', 0o600).catch((cause: unknown) => {
    if (isFault(cause) && cause.code === 'ENOENT') {
      throw new Failure(`cannot write ${file}: there is no folder ${dirname(draft)}`, { cause })
    }
    throw unwritable(file, cause)
  })
}

function unwritable(file: string, cause: unknown): Failure {
  return new Failure(`cannot write ${file}: ${describeFault(cause)}`, { cause })
}

function isFault(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'errno' in error
}

/** What is wrong with an export as a sentence that names it. */
function readable(error: unknown, name: string): unknown {
  return error instanceof ExportError
    ? new Failure(`${name}: ${error.message}`, { cause: error })
    : error
}
