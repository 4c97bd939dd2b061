// The one way into the storage of a local registry: what is read by signature passes, whatever else the entry worker
// would answer does not, and a body that breaks off behind it does not look whole in front.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, Server, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { listenForStorage } from '../../cli/storage-front.ts'
import type { StorageFront } from '../../cli/storage-front.ts'

const PATH = '/cdn-cgi/local/r2/s3/'
const SEEN: { url: string | undefined; headers: IncomingHttpHeaders }[] = []

let entry: Server
let front: StorageFront
let answerOf: (answer: ServerResponse) => void

beforeAll(async () => {
  entry = createServer(({ url, headers }, answer) => {
    SEEN.push({ url, headers })
    answerOf(answer)
  })
  entry.listen(0, '127.0.0.1')
  await once(entry, 'listening')
  front = await listenForStorage(PATH)
})

afterAll(async () => {
  await front.close()
  entry.closeAllConnections()
  entry.close()
})

beforeEach(() => {
  SEEN.length = 0
  answerOf = (answer) => void answer.writeHead(206, { 'content-range': 'bytes 0-2/9' }).end('abc')
})

/** One request as it is written, and all that comes back until the connection ends. */
async function send(
  target: string,
  fields: readonly string[] = [],
  { method = 'GET', host = `localhost:${front.port}` } = {},
): Promise<string> {
  const socket = connect(front.port, '127.0.0.1')
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...fields]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk))
  socket.on('error', () => undefined)
  await once(socket, 'close')
  return Buffer.concat(chunks).toString()
}

describe('the front of storage', () => {
  it('answers 503 before there is anything behind it', async () => {
    expect(await send(`${PATH}bucket/key`)).toMatch(/^HTTP\/1\.1 503 /)
    expect(SEEN).toEqual([])
    front.open((entry.address() as AddressInfo).port)
  })

  it('passes a read on as it came, by the host that was signed, and its answer back', async () => {
    const text = await send(`${PATH}bucket/a%20b?X-Amz-Signature=1`, ['Range: bytes=0-2'])
    expect(text).toMatch(/^HTTP\/1\.1 206 [\s\S]*content-range: bytes 0-2\/9[\s\S]*abc/i)
    expect(SEEN).toMatchObject([
      {
        url: `${PATH}bucket/a%20b?X-Amz-Signature=1`,
        headers: { host: `localhost:${front.port}`, range: 'bytes=0-2' },
      },
    ])
  })

  it.each([
    '/',
    '/v2/',
    '/cdn-cgi/local/explorer',
    '/cdn-cgi/local/r2/public/bucket/key',
    '/cdn-cgi/local/r2/s3',
    `${PATH}../public/bucket/key`,
    `${PATH}bucket/../../public/bucket/key`,
    `${PATH}%2e%2e/public/bucket/key`,
    `${PATH}.%2E/public/bucket/key`,
    `${PATH}..\\public\\bucket\\key`,
    `/${PATH}bucket/key`,
    'http://localhost/cdn-cgi/local/r2/public/bucket/key',
    'http://localhost/cdn-cgi/local/r2/s3/bucket/key',
  ])('answers 404 to %s, and nothing behind it hears of it', async (target) => {
    expect(await send(target)).toMatch(/^HTTP\/1\.1 404 /)
    expect(SEEN).toEqual([])
  })

  it.each([
    'localhost',
    'localhost:1',
    'registry.test',
    'localhost/cdn-cgi/local/r2/public/bucket/key?',
    'localhost/cdn-cgi/local/r2/public/bucket/key#',
    'localhost:PORT/cdn-cgi/local/r2/public/bucket/key?',
    'localhost\\cdn-cgi\\local\\r2\\public\\bucket\\key?',
    'x@localhost:PORT',
    'LOCALHOST:PORT',
    '',
  ])('answers 404 to the host "%s", of which a URL would be made', async (host) => {
    const written = host.replace('PORT', String(front.port))
    expect(await send(`${PATH}bucket/key`, [], { host: written })).toMatch(/^HTTP\/1\.1 404 /)
    expect(SEEN).toEqual([])
  })

  it.each(['PUT', 'POST', 'DELETE', 'OPTIONS'])('answers 405 to %s', async (method) => {
    expect(await send(`${PATH}bucket/key`, [], { method })).toMatch(/^HTTP\/1\.1 405 /)
    expect(SEEN).toEqual([])
  })

  it('leaves out by what fields Miniflare lets itself be told another URL', async () => {
    await send(`${PATH}bucket/key`, [
      'MF-Original-URL: http://x/cdn-cgi/local/r2/public/bucket/key',
      'MF-Route-Override: x',
      'CF-Connecting-IP: 192.0.2.1',
      'X-Forwarded-Host: x',
    ])
    const [{ headers } = expect.fail('nothing came')] = SEEN
    expect(Object.keys(headers).toSorted()).toEqual(['connection', 'host'])
  })

  it('keeps the connection of a client that wants to ask again', async () => {
    const socket = connect(front.port, '127.0.0.1')
    const ask = `GET ${PATH}bucket/key HTTP/1.1\r\nHost: localhost:${front.port}\r\n\r\n`
    for (let n = 0; n < 3; n++) {
      socket.write(ask)
      const [chunk] = await once(socket, 'data')
      expect(String(chunk)).toMatch(/^HTTP\/1\.1 206 [\s\S]*\r\nconnection: keep-alive/i)
    }
    socket.destroy()
    expect(SEEN).toHaveLength(3)
  })

  it('listens wherever localhost leads', async () => {
    const other = createServer()
    other.listen(front.port, '::1')
    const [error] = await once(other, 'error')
    // A machine without IPv6 has nowhere else to listen.
    expect(['EADDRINUSE', 'EADDRNOTAVAIL', 'EAFNOSUPPORT']).toContain(error.code)
  })

  it('breaks off where storage breaks off', async () => {
    answerOf = (answer) => {
      answer.writeHead(200, { 'content-length': '9' })
      answer.write('abc', () => answer.destroy())
    }
    const text = await send(`${PATH}bucket/key`)
    expect(text.endsWith('abc')).toBe(true)
  })

  it('answers 502 where nothing is behind it any more', async () => {
    answerOf = (answer) => void answer.destroy()
    expect(await send(`${PATH}bucket/key`)).toMatch(/^HTTP\/1\.1 502 /)
  })

  it('gives up what its client gives up', async () => {
    const over = new Promise((resolve) => {
      answerOf = (answer) => {
        answer.on('close', resolve)
        answer.writeHead(200, { 'content-length': String(2 ** 30) })
        answer.write('abc')
      }
    })
    const socket = connect(front.port, '127.0.0.1')
    socket.write(`GET ${PATH}bucket/key HTTP/1.1\r\nHost: localhost:${front.port}\r\n\r\n`)
    await once(socket, 'data')
    socket.destroy()
    await over
    expect(SEEN).toHaveLength(1)
  })
})
