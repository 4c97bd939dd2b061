// `/_/api/exports`: an administrator sees which exports there are, takes one away as one stream, brings one back in
// parts, and removes one. `docs/keep.md` says how.

import { ExportError, MAX_INDEX, MAX_PART, isExportID, parseIndex } from '../jobs/export-file.ts'
import type { ExportIndex } from '../jobs/export-file.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import { NO_STORE, ask, reach, show, timestamp, wrong } from './admin.ts'
import type { Call, Route } from './admin.ts'
import { readBody } from './body.ts'
import { respond } from './exchange.ts'

const PART = /^\d{1,6}$/

/** Of exports. */
export const EXPORT_ROUTES: readonly Route[] = [
  {
    path: /^\/_\/api\/exports$/,
    endpoint: 'exports',
    methods: { GET: listExports, HEAD: listExports },
  },
  {
    path: /^\/_\/api\/exports\/([a-z0-9-]+)$/,
    endpoint: 'export',
    methods: { GET: getExport, HEAD: getExport, PUT: putExport, DELETE: deleteExport },
  },
]

async function listExports({ visit }: Call): Promise<Response> {
  const all = await reachExport(() => visit.services.exports().list())
  const exports = all.map(({ id, at, bytes, isNightly, counts: { empty, ...counts } }) => ({
    id,
    at: timestamp(at),
    bytes,
    nightly: isNightly,
    ...counts,
    ...(empty > 0 && { empty }),
  }))
  return show(visit, 200, { exports })
}

/** It holds the hashes of secrets, so taking it away is noted. */
async function getExport({ visit, by, name }: Call): Promise<Response> {
  const exports = visit.services.exports()
  const index = await reachExport(() => exports.index(name))
  if (index === undefined) throw absent(name)
  const isTaken = visit.exchange.method === 'GET'
  if (isTaken) await ask(visit, (authority) => authority.note('take-export', name, by))
  return respond(visit.exchange, {
    status: 200,
    headers: { ...NO_STORE, [HEADER.contentType]: 'application/x-ndjson' },
    body: isTaken ? exports.stream(index) : null,
  })
}

/** The index, or with `part` a part of what it tells of. */
async function putExport(call: Call): Promise<Response> {
  const part = call.visit.exchange.query.get('part')
  return part === null ? putIndex(call) : putPart(call, part)
}

async function putIndex({ visit, by, name }: Call): Promise<Response> {
  const bytes = await readBytes({ visit, by, name }, MAX_INDEX)
  const index = readIndex(bytes, name)
  const exports = visit.services.exports()
  const known = await reachExport(() => exports.index(name))
  if (known !== undefined && !isSame(known, index)) {
    throw wrong('', `there is another export ${name} already`)
  }
  if (known !== undefined) return show(visit, 201, { id: name, missing: [] })
  await ask(visit, (authority) => authority.note('bring-export', name, by))
  const reception = await reachExport(() => exports.receive(index))
  if (reception.isComplete) return show(visit, 201, { id: name, missing: [] })
  return show(visit, 202, { id: name, missing: reception.missing })
}

async function putPart(call: Call, part: string): Promise<Response> {
  const { visit, name } = call
  if (!PART.test(part)) throw wrong('part', 'expected the number of a part')
  const bytes = await readBytes(call, MAX_PART)
  const isTaken = await reachExport(() =>
    visit.services.exports().receivePart(name, Number(part), bytes),
  )
  if (!isTaken) throw absent(name, 'nobody has brought its index')
  return respond(visit.exchange, { status: 204, headers: NO_STORE })
}

async function deleteExport({ visit, by, name }: Call): Promise<Response> {
  if (!isExportID(name)) throw absent(name)
  await ask(visit, (authority) => authority.note('delete-export', name, by))
  if (!(await reachExport(() => visit.services.exports().delete(name)))) throw absent(name)
  return respond(visit.exchange, { status: 204, headers: NO_STORE })
}

async function readBytes({ visit }: Call, most: number): Promise<Uint8Array> {
  const body = await readBody(visit.exchange, most)
  if (body.ok) return body.bytes
  if (body.reason === 'too-large') {
    throw new RegistryError('SIZE_INVALID', {
      status: 413,
      message: `this can have ${most} bytes at most`,
    })
  }
  throw wrong('', 'the body broke off')
}

function readIndex(bytes: Uint8Array, name: string): ExportIndex {
  const index = readable(() => parseIndex(bytes))
  if (index.id === name) return index
  throw wrong('', `this is the index of export ${index.id}`)
}

function isSame(one: ExportIndex, other: ExportIndex): boolean {
  return JSON.stringify(one.parts) === JSON.stringify(other.parts)
}

function readable<Value>(read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    throw error instanceof ExportError ? wrong('', error.message) : error
  }
}

/** @throws {RegistryError} UNSUPPORTED_VALUE for what is no export, UNKNOWN with 503 while storage is away. */
async function reachExport<Value>(question: () => Promise<Value>): Promise<Value> {
  return reach('storage is unavailable', () =>
    question().catch((error: unknown) => {
      throw error instanceof ExportError ? wrong('', error.message) : error
    }),
  )
}

function absent(id: string, why = ''): RegistryError {
  const message = `there is no export ${id}${why === '' ? '' : `: ${why}`}`
  return new RegistryError('NAME_UNKNOWN', { message })
}
