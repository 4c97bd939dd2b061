// Other endpoints of a registry: when they are asked, in which order, what they are believed, and that no
// endpoint sees what belongs to another.

import { afterEach, describe, expect, it, vi } from 'vitest'
import { addSample, sampleImage } from '../../cli/sample-image.ts'
import type { SampleManifest } from '../../cli/sample-image.ts'
import { sampleBytes } from '../../cli/sample-layer.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import type { Fault } from '../../cli/upstream-fault.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { openBlob } from '../../src/upstream/blob-source.ts'
import type { BlobSource } from '../../src/upstream/blob-source.ts'
import { fetchManifest, guessManifest } from '../../src/upstream/manifests.ts'
import type { FetchedManifest } from '../../src/upstream/manifests.ts'
import { SECOND } from '../support/clock.ts'
import { network } from '../support/network.ts'
import type { Network } from '../support/network.ts'
import { reference, repository } from '../support/parsed.ts'
import { connect, failureFrom, upstreamFrom } from '../support/upstream-client.ts'
import type { UpstreamSettings } from '../support/upstream-client.ts'

const HOSTS = ['one.test', 'second.test', 'third.test'] as const
const ENTRY = { alternates: ['https://second.test', 'https://third.test'] }
const SIZE = 300_000
const BYTES = sampleBytes(SIZE)
const MANIFEST = { on: { kind: 'manifest' } } as const
const BLOB = { on: { kind: 'blob' } } as const
const LIMITED: Fault = { status: 429, headers: { 'Retry-After': '77' } }

afterEach(() => {
  vi.useRealTimers()
})

interface Stage {
  readonly samples: readonly [SampleUpstream, SampleUpstream, SampleUpstream]
  readonly net: Network
  readonly image: SampleManifest
  readonly fetch: (text: string) => Promise<FetchedManifest>
  readonly guess: (text: string) => Promise<FetchedManifest | undefined>
  readonly open: (digest: Digest) => Promise<BlobSource>
  /** The hosts that were asked for content, in order. */
  readonly asked: () => readonly string[]
}

/** `one.test` and two alternates; an image `a/b:v1` and a blob are at all three. */
async function stage(settings: UpstreamSettings = {}): Promise<Stage> {
  const authentication = { accounts: { anna: 'canary-one', bert: 'canary-second' } }
  const samples = [
    new SampleUpstream({ authentication }),
    new SampleUpstream({ authentication }),
    new SampleUpstream({ authentication }),
  ] as const
  const image = await sampleImage()
  for (const sample of samples) {
    await addSample(sample, 'a/b', image, 'v1')
    await sample.addBlob('a/b', BYTES)
  }
  const net = network(Object.fromEntries(HOSTS.map((host, n) => [host, samples[n] ?? samples[0]])))
  const { client } = connect(upstreamFrom({ entry: ENTRY, ...settings }), { network: net })
  const name = repository('a/b')
  const now = (): number => Date.now()
  const about = (text: string) => ({
    repository: name,
    reference: reference(text),
    deadline: now() + 12 * SECOND,
  })
  return {
    samples,
    net,
    image,
    fetch: (text) => fetchManifest(client, about(text), now),
    guess: (text) => guessManifest(client, about(text), now),
    open: (digest) => openBlob(client, { repository: name, digest }, now),
    asked: () =>
      net.requests.filter(({ url }) => /\/(?:manifests|blobs)\//.test(url)).map(({ host }) => host),
  }
}

async function read(source: BlobSource): Promise<{ bytes: Uint8Array; error: unknown }> {
  const chunks: Uint8Array[] = []
  try {
    for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) {
      chunks.push(chunk)
    }
  } catch (error) {
    return { bytes: await new Blob(chunks).bytes(), error }
  }
  return { bytes: await new Blob(chunks).bytes(), error: undefined }
}

const STANDS_IN: readonly { readonly name: string; readonly fault: Fault }[] = [
  { name: '429', fault: LIMITED },
  { name: '500', fault: { status: 500 } },
  { name: '503', fault: { status: 503 } },
  { name: 'no connection', fault: { refuse: true } },
  { name: 'a page', fault: { status: 200, body: '<html>', contentType: 'text/html' } },
  { name: 'a redirect into a private network', fault: { redirect: 'https://10.0.0.1/' } },
]

const COUNTS: readonly { readonly fault: Fault; readonly kind: string }[] = [
  { fault: { status: 404 }, kind: 'not-found' },
  { fault: { status: 403 }, kind: 'denied' },
  { fault: { status: 401 }, kind: 'denied' },
]

describe('an alternate answers when the upstream gives', () => {
  it.each([...STANDS_IN, { name: 'other bytes', fault: { bytes: sampleBytes(100) } }])(
    '$name for a manifest',
    async ({ fault }) => {
      const { samples, image, fetch, asked } = await stage()
      samples[0].fault({ ...MANIFEST, do: fault })
      expect((await fetch(image.digest)).bytes).toEqual(image.bytes)
      expect(asked()).toEqual(['one.test', 'second.test'])
    },
  )

  it.each(STANDS_IN)('$name for a blob', async ({ fault }) => {
    const { samples, open, asked } = await stage()
    samples[0].fault({ ...BLOB, do: fault })
    const { bytes, error } = await read(await open(await digestOf(BYTES)))
    expect([error, await digestOf(bytes)]).toEqual([undefined, await digestOf(BYTES)])
    expect(asked()).toEqual(['one.test', 'second.test'])
  })

  it.each(['manifest', 'blob'] as const)(
    'no headers in its share of the time for a %s',
    async (kind) => {
      vi.useFakeTimers()
      const { samples, image, fetch, open, asked } = await stage()
      samples[0].fault({ on: { kind }, do: { hangHeaders: true } })
      const work = kind === 'blob' ? open(await digestOf(BYTES)) : fetch(image.digest)
      await vi.advanceTimersByTimeAsync(7 * SECOND)
      await work
      expect(asked()).toEqual(['one.test', 'second.test'])
    },
  )

  it('a refused login, for what is public', async () => {
    const { samples, image, fetch, asked } = await stage({
      credentials: [{ username: 'anna', password: 'wrong' }],
    })
    // Nobody gets a token either.
    samples[0].fault({ on: { kind: 'token' }, do: { status: 401 } })
    expect((await fetch(image.digest)).digest).toBe(image.digest)
    expect(samples[0].count({ kind: 'token', status: 401 })).toBe(2)
    expect(asked()).toEqual(['second.test'])
  })

  it('no token', async () => {
    const { samples, image, fetch, asked } = await stage()
    samples[0].fault({ on: { kind: 'token' }, do: { status: 500 } })
    expect((await fetch(image.digest)).digest).toBe(image.digest)
    expect(asked()).toEqual(['second.test'])
  })
})

describe('an alternate is not asked when the upstream', () => {
  it('answers', async () => {
    const { image, fetch, open, net } = await stage()
    await fetch(image.digest)
    await read(await open(await digestOf(BYTES)))
    expect([net.count('second.test'), net.count('third.test')]).toEqual([0, 0])
  })

  it.each(COUNTS)(
    'says $fault.status, which is about the repository: $kind',
    async ({ fault, kind }) => {
      const { samples, image, fetch, open, net } = await stage()
      samples[0].fault({ do: fault, on: ({ kind: of }) => of === 'manifest' || of === 'blob' })
      expect(await failureFrom(fetch(image.digest))).toMatchObject({ kind })
      expect(await failureFrom(open(await digestOf(BYTES)))).toMatchObject({ kind })
      expect([net.count('second.test'), net.count('third.test')]).toEqual([0, 0])
    },
  )

  it('fails for a tag, whose bytes nobody can verify', async () => {
    const { samples, fetch, net } = await stage()
    samples[0].fault({ ...MANIFEST, do: LIMITED })
    expect(await failureFrom(fetch('v1'))).toEqual({ kind: 'rate-limited', retryAfter: 77 })
    expect([net.count('second.test'), net.count('third.test')]).toEqual([0, 0])
  })
})

describe('the next alternate is asked when one gives', () => {
  it.each([
    ...STANDS_IN,
    ...COUNTS.map(({ fault }) => ({ name: String(fault.status), fault })),
    {
      name: 'other bytes',
      fault: { bytes: sampleBytes(100) },
    },
  ])('$name for a manifest', async ({ fault }) => {
    const { samples, image, fetch, asked } = await stage()
    samples[0].fault({ ...MANIFEST, do: LIMITED })
    samples[1].fault({ ...MANIFEST, do: fault })
    expect((await fetch(image.digest)).bytes).toEqual(image.bytes)
    expect(asked()).toEqual(HOSTS)
  })

  it.each([...STANDS_IN, ...COUNTS.map(({ fault }) => ({ name: String(fault.status), fault }))])(
    '$name for a blob',
    async ({ fault }) => {
      const { samples, open, asked } = await stage()
      samples[0].fault({ ...BLOB, do: LIMITED })
      samples[1].fault({ ...BLOB, do: fault })
      expect((await read(await open(await digestOf(BYTES)))).bytes.byteLength).toBe(SIZE)
      expect(asked()).toEqual(HOSTS)
    },
  )

  it.each([...STANDS_IN, ...COUNTS.map(({ fault }) => ({ name: String(fault.status), fault }))])(
    '$name for a tag that is guessed',
    async ({ fault }) => {
      const { samples, image, guess, asked } = await stage()
      samples[1].fault({ ...MANIFEST, do: fault })
      expect((await guess('v1'))?.digest).toBe(image.digest)
      expect(asked()).toEqual(['second.test', 'third.test'])
    },
  )

  it('nothing in its share of the time, for a tag that is guessed', async () => {
    vi.useFakeTimers()
    const { samples, image, guess, asked } = await stage()
    samples[1].fault({ ...MANIFEST, do: { hangHeaders: true } })
    const guessed = guess('v1')
    await vi.advanceTimersByTimeAsync(6 * SECOND - 1)
    expect(asked()).toEqual(['second.test'])
    await vi.advanceTimersByTimeAsync(1)
    expect((await guessed)?.digest).toBe(image.digest)
    expect(asked()).toEqual(['second.test', 'third.test'])
  })
})

describe('when nobody has it, the upstream’s own failure counts:', () => {
  it.each([
    { name: '429', fault: LIMITED, want: { kind: 'rate-limited', retryAfter: 77 } },
    { name: '500', fault: { status: 500 }, want: { kind: 'unavailable' } },
    { name: 'no connection', fault: { refuse: true }, want: { kind: 'unavailable' } },
  ] as const)('$name, whatever the alternates say', async ({ fault, want }) => {
    const { samples, image, fetch, guess, open } = await stage()
    const all = { on: ({ kind }: { kind: string }) => kind === 'manifest' || kind === 'blob' }
    samples[0].fault({ ...all, do: fault })
    samples[1].fault({ ...all, do: { status: 404 } })
    samples[2].fault({ ...all, do: { status: 403 } })
    expect(await failureFrom(fetch(image.digest))).toMatchObject(want)
    expect(await failureFrom(open(await digestOf(BYTES)))).toMatchObject(want)
    expect(await guess('v1')).toBeUndefined()
  })
})

describe('a limit', () => {
  it('of the upstream is not that of its alternates, nor the other way round', async () => {
    const { samples, image, fetch, net } = await stage()
    samples[0].fault({ ...MANIFEST, do: LIMITED })
    samples[1].fault({ ...MANIFEST, do: LIMITED })
    await fetch(image.digest)
    net.forget()
    await fetch(image.digest)
    expect(net.requests.map(({ host }) => host)).toEqual(['third.test'])
  })
})

describe('a blob that is cut', () => {
  it.each([
    { name: 'refuses to go on', fault: { status: 503 } },
    { name: 'has lost it', fault: { status: 404 } },
    { name: 'knows no ranges', fault: { ignoreRange: true } },
    { name: 'has gone', fault: { refuse: true } },
  ] satisfies readonly { name: string; fault: Fault }[])(
    'continues at an alternate where the upstream $name',
    async ({ fault }) => {
      const { samples, open, net, asked } = await stage()
      samples[0].fault({ ...BLOB, times: 1, do: { truncateAt: 1000 } })
      samples[0].fault({ ...BLOB, do: fault })
      const { bytes, error } = await read(await open(await digestOf(BYTES)))
      expect([error, await digestOf(bytes)]).toEqual([undefined, await digestOf(BYTES)])
      expect(asked()).toEqual(['one.test', 'one.test', 'second.test'])
      const { headers } = net.requests.at(-1) ?? expect.fail('nobody was asked')
      // The entity tag is the upstream's.
      expect([headers['range'], headers['if-range']]).toEqual(['bytes=1000-', undefined])
    },
  )

  it('again and again goes from endpoint to endpoint, and on in each', async () => {
    const { samples, open, asked } = await stage()
    samples[0].fault({ ...BLOB, do: { truncateAt: 1000 } })
    samples[1].fault({ ...BLOB, do: { truncateAt: 1000 } })
    const { bytes, error } = await read(await open(await digestOf(BYTES)))
    expect([error, await digestOf(bytes)]).toEqual([undefined, await digestOf(BYTES)])
    expect(asked().filter((host) => host === 'one.test')).toHaveLength(4)
    expect(asked().filter((host) => host === 'third.test')).toHaveLength(1)
  })

  it('that was opened at an alternate may go on at the upstream', async () => {
    const { samples, open, asked } = await stage()
    samples[0].fault({ ...BLOB, times: 1, do: { status: 500 } })
    samples[1].fault({ ...BLOB, times: 1, do: { truncateAt: 1000 } })
    samples[1].fault({ ...BLOB, do: { refuse: true } })
    expect((await read(await open(await digestOf(BYTES)))).error).toBeUndefined()
    expect(asked()).toEqual(['one.test', 'second.test', 'second.test', 'one.test'])
  })

  it('does not continue with another blob', async () => {
    const { samples, open, asked } = await stage()
    samples[0].fault({ ...BLOB, times: 1, do: { truncateAt: 1000 } })
    samples[0].fault({ ...BLOB, do: { refuse: true } })
    const range = { 'Content-Range': `bytes 1000-${SIZE}/${SIZE + 1}` }
    samples[1].fault({ ...BLOB, do: { headers: range } })
    expect((await read(await open(await digestOf(BYTES)))).error).toBeUndefined()
    expect(asked()).toEqual(['one.test', 'one.test', 'second.test', 'third.test'])
  })

  it('and is nowhere any more has failed; that an alternate has it not is no 404', async () => {
    const { samples, open } = await stage()
    samples[0].fault({ ...BLOB, times: 1, do: { truncateAt: 1000 } })
    samples[0].fault({ ...BLOB, do: { status: 503 } })
    for (const sample of samples.slice(1)) sample.fault({ ...BLOB, do: { status: 404 } })
    const source = await open(await digestOf(BYTES))
    await source.read()
    expect(await failureFrom(source.read())).toMatchObject({ kind: 'unavailable' })
  })
})

describe('secrets', () => {
  /** The `Authorization`s that a host was shown, and where they went. */
  function shown(net: Network, host: string): { basic: Set<string>; bearer: Set<string> } {
    const values = net.requests
      .filter((request) => request.host === host)
      .flatMap(({ headers }) => headers['authorization'] ?? [])
    const of = (scheme: string): Set<string> =>
      new Set(values.filter((value) => value.startsWith(scheme)))
    return { basic: of('Basic '), bearer: of('Bearer ') }
  }

  it('of the upstream are not seen by an alternate, nor the other way round', async () => {
    const { samples, image, fetch, open, net } = await stage({
      credentials: [{ username: 'anna', password: 'canary-one' }],
      others: { 'second.test': [{ username: 'bert', password: 'canary-second' }] },
    })
    await fetch(image.digest)
    samples[0].fault({ ...BLOB, times: 1, do: { truncateAt: 1000 } })
    samples[0].fault({ on: { kind: 'blob' }, do: { status: 500 } })
    samples[1].fault({ ...BLOB, do: { truncateAt: 1000 } })
    expect((await read(await open(await digestOf(BYTES)))).error).toBeUndefined()
    const [one, second, third] = HOSTS.map((host) => shown(net, host))
    expect(one?.basic).toEqual(new Set([`Basic ${btoa('anna:canary-one')}`]))
    expect(second?.basic).toEqual(new Set([`Basic ${btoa('bert:canary-second')}`]))
    expect(third?.basic).toEqual(new Set())
    const tokens = [one, second, third].map((each) => each?.bearer ?? new Set())
    expect(tokens.map(({ size }) => size)).toEqual([1, 1, 1])
    expect(new Set(tokens.flatMap((each) => [...each])).size).toBe(3)
    const users = net.requests.map(({ host, url }) => [
      host,
      new URL(url).searchParams.get('account'),
    ])
    expect(users).not.toContainEqual(['one.test', 'bert'])
    expect(users).not.toContainEqual(['second.test', 'anna'])
    expect(JSON.stringify(net.requests)).not.toContain('canary')
  })

  it('are not asked for by an alternate that names the upstream’s token service', async () => {
    const { samples, image, fetch, net } = await stage({
      others: { 'second.test': [{ username: 'bert', password: 'canary-second' }] },
    })
    samples[0].fault({ ...MANIFEST, do: LIMITED })
    const challenge = 'Bearer realm="https://one.test/token",service="one.test"'
    samples[1].fault({ do: { status: 401, headers: { 'WWW-Authenticate': challenge } } })
    expect((await fetch(image.digest)).digest).toBe(image.digest)
    expect(shown(net, 'one.test').basic).toEqual(new Set())
    expect(net.requests.at(-1)?.host).toBe('third.test')
  })
})
