// Fills without an object around them: a `Fill` on buckets, a size and a patience of the test's choice,
// from a sample upstream at `one.test`.

import { env } from 'cloudflare:workers'
import { expect } from 'vitest'
import type { Fault } from '../../cli/upstream-fault.ts'
import type { SampleUpstream } from '../../cli/upstream.ts'
import { Fill } from '../../src/mirror/fill.ts'
import type { FillEnd, FillGiven } from '../../src/mirror/fill.ts'
import { PATIENCE } from '../../src/mirror/patience.ts'
import type { Patience } from '../../src/mirror/patience.ts'
import { BlobStore } from '../../src/storage/blobs.ts'
import { segmentPrefix } from '../../src/storage/keys.ts'
import { openBlob } from '../../src/upstream/blob-source.ts'
import type { BlobSource } from '../../src/upstream/blob-source.ts'
import { addSampleBlob, join } from './blob.ts'
import type { BlobOptions, SampleBlob } from './blob.ts'
import { startUpstream } from './internet.ts'
import { network } from './network.ts'
import { repository } from './parsed.ts'
import { connect, upstreamFrom } from './upstream-client.ts'

/** Patience for tests that do not want to wait; storage is slow on a busy machine. */
export const IMPATIENCE: Patience = {
  ...PATIENCE,
  headers: 20,
  news: 200,
  begin: 5000,
  lookup: 1000,
  cut: 10,
  storage: 1000,
}

/** A blob in an upstream, and what opens it there. */
export interface Upstreamed extends SampleBlob {
  readonly upstream: SampleUpstream
  readonly open: () => Promise<BlobSource>
}

/** Starts an upstream with one blob; `fault` is what happens to those who ask for it. */
export async function upstreamed(
  size: number,
  fault: Fault = {},
  options: BlobOptions = {},
): Promise<Upstreamed> {
  const upstream = startUpstream()
  const blob = await addSampleBlob(upstream, size, options)
  upstream.fault({ on: { kind: 'blob' }, do: fault })
  const { client } = connect(upstreamFrom(), { network: network({ 'one.test': upstream }) })
  const asked = { repository: repository(blob.name), digest: blob.digest }
  return { ...blob, upstream, open: () => openBlob(client, asked, () => Date.now()) }
}

/** What a fill of the blob is given, before the test changes some of it. */
export function givenFor(blob: Upstreamed, changed: Partial<FillGiven> = {}): FillGiven {
  const bucket = changed.bucket ?? env.BLOBS
  return {
    id: crypto.randomUUID(),
    key: blob.key,
    digest: blob.digest,
    bucket,
    blobs: new BlobStore(bucket),
    open: blob.open,
    statedSize: async () => undefined,
    note: async () => undefined,
    isAbandoned: () => false,
    now: () => Date.now(),
    log: () => undefined,
    patience: IMPATIENCE,
    ...changed,
  }
}

/** Runs a fill to its end. */
export async function fillOf(
  blob: Upstreamed,
  changed: Partial<FillGiven> = {},
): Promise<{ readonly fill: Fill; readonly end: FillEnd }> {
  const fill = new Fill(givenFor(blob, changed))
  await fill.run()
  return { fill, end: fill.end ?? expect.fail('it has not ended') }
}

/** Everything that a client could read in segments now. */
export async function readSegments(fill: Fill): Promise<Uint8Array> {
  const progress = fill.progress(0)
  if (progress.state !== 'filling') return new Uint8Array()
  const pieces = progress.segments.map(async (length, n) => {
    const object = await env.BLOBS.get(`${segmentPrefix(fill.id)}${n}`)
    const bytes =
      (await object?.bytes()) ?? expect.fail(`segment ${n} was announced and is not there`)
    expect(bytes.byteLength).toBe(length)
    return bytes
  })
  return join(await Promise.all(pieces))
}
