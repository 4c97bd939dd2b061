// Real sessions, as requests reach them: objects that are evicted between any two chunks, clients that leave, and
// bytes that pass through RPC.

import { evictDurableObject, reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { KiB, MiB } from '../support/blob.ts'
import { repository } from '../support/parsed.ts'
import { STREAM, bodyOf, chunkAt, expectStored, noise, piecesOf } from '../support/upload.ts'

afterEach(() => reset())

/** A real session. Each call asks for its object anew, as a request does. */
async function opened() {
  const name = { repository: repository('hosted/a'), session: crypto.randomUUID() }
  const stub = () => env.UPLOAD_SESSION.getByName(`${name.repository} ${name.session}`)
  await stub().open(name)
  return { name, stub, evict: () => evictDurableObject(stub()) }
}

describe('a session whose object is evicted between any two chunks and before the PUT', () => {
  it.each(
    (['sha256', 'sha512'] as const).flatMap((algorithm) => [
      { algorithm, name: 'of nothing', sizes: [0] },
      { algorithm, name: 'of single bytes', sizes: [1, 1, 1] },
      { algorithm, name: 'below a part', sizes: [300_000, 1, 2 * MiB + 1] },
      { algorithm, name: 'of exactly one part', sizes: [3 * MiB, 5 * MiB] },
      {
        algorithm,
        name: 'of parts that chunks do not know',
        sizes: [7 * MiB, 3 * MiB, 7 * MiB + 1],
      },
    ]),
  )('is the blob that was sent: $name, $algorithm', async ({ sizes, algorithm }) => {
    const total = sizes.reduce((sum, size) => sum + size, 0)
    const { bytes, digest } = await noise(total, algorithm)
    const { name, stub, evict } = await opened()
    let offset = 0
    for (const size of sizes) {
      await evict()
      const chunk = size === 0 ? STREAM : chunkAt(offset, size)
      const body = bodyOf(piecesOf(bytes.subarray(offset, offset + size), 256 * KiB))
      offset += size
      expect(await stub().append(name, chunk, body)).toEqual({ ok: true, offset })
      await evict()
      expect(await stub().status(name)).toEqual({ ok: true, offset })
    }
    await evict()
    const want = { ok: true, size: total }
    expect(await stub().close(name, { ...STREAM, digest }, null)).toEqual(want)
    await evict()
    expect(await stub().close(name, { ...STREAM, digest }, null)).toEqual(want)
    await expectStored(bytes, digest)
  })
})

describe('a client', () => {
  it('that leaves in the middle of a PATCH finds what it has sent', async () => {
    const { bytes, digest } = await noise(3 * MiB)
    const { name, stub } = await opened()
    const answer = await stub().append(
      name,
      chunkAt(0, 3 * MiB),
      bodyOf(piecesOf(bytes.subarray(0, 2 * MiB), 100_000), true),
    )
    expect(answer).toMatchObject({ ok: false, reason: 'cut' })
    const status = await stub().status(name)
    const offset = status.ok ? status.offset : expect.fail('the session is over')
    expect(answer).toMatchObject({ offset })
    const rest = bodyOf([bytes.subarray(offset)])
    await stub().append(name, chunkAt(offset, 3 * MiB - offset), rest)
    expect(await stub().close(name, { ...STREAM, digest }, null)).toEqual({
      ok: true,
      size: 3 * MiB,
    })
    await expectStored(bytes, digest)
  })

  it('whose connection hangs takes its own session over', async () => {
    const { bytes, digest } = await noise(1000)
    const { name, stub } = await opened()
    const sent = new TransformStream<Uint8Array, Uint8Array>()
    const writer = sent.writable.getWriter()
    const hanging = stub().append(name, chunkAt(0, 1000), sent.readable)
    writer.closed.catch(() => undefined)
    await writer.write(bytes.subarray(0, 500))
    await expect
      .poll(async () => stub().append(name, STREAM, null))
      .toEqual({ ok: false, reason: 'out-of-order', offset: 0 })
    expect(await stub().append(name, chunkAt(0, 1000), bodyOf([bytes]))).toMatchObject({ ok: true })
    expect(await hanging).toMatchObject({ ok: false, reason: 'out-of-order' })
    expect(await stub().close(name, { ...STREAM, digest }, null)).toMatchObject({ ok: true })
    await expectStored(bytes, digest)
  })

  it('that sends everything with the PUT needs no PATCH', async () => {
    const { bytes, digest } = await noise(9 * MiB)
    const { name, stub } = await opened()
    const closing = { range: undefined, length: bytes.byteLength, digest }
    expect(await stub().close(name, closing, bodyOf(piecesOf(bytes, MiB)))).toEqual({
      ok: true,
      size: bytes.byteLength,
    })
    await expectStored(bytes, digest)
  })
})

it('an object that dies at once in the middle of a PATCH keeps what was committed, and no more', async () => {
  const { bytes, digest } = await noise(9 * MiB)
  const { name, stub } = await opened()
  await stub().append(name, STREAM, bodyOf([bytes.subarray(0, 1000)]))
  const sent = new TransformStream<Uint8Array, Uint8Array>()
  const writer = sent.writable.getWriter()
  writer.closed.catch(() => undefined)
  const dying = stub()
    .append(name, STREAM, sent.readable)
    .catch((error: unknown) => error)
  // All of it is under way, and a part of it committed; what comes after that is not.
  for (const piece of piecesOf(bytes.subarray(1000, 8 * MiB + 500), MiB)) await writer.write(piece)
  await expect.poll(async () => stub().status(name)).toEqual({ ok: true, offset: 8 * MiB })
  await runInDurableObject(stub(), (_, state) => state.abort()).catch(() => undefined)
  expect(await dying).toBeInstanceOf(Error)
  expect(await stub().status(name)).toEqual({ ok: true, offset: 8 * MiB })
  const rest = bodyOf([bytes.subarray(8 * MiB)])
  expect(await stub().append(name, chunkAt(8 * MiB, MiB), rest)).toMatchObject({ ok: true })
  expect(await stub().close(name, { ...STREAM, digest }, null)).toMatchObject({ ok: true })
  await expectStored(bytes, digest)
})
