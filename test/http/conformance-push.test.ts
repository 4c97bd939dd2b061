// end-7 as the distribution spec has it, and what the suites of v1.0.1, v1.1.0 and v1.1.1 assert of it: a manifest is
// pushed, and pulled as it was pushed.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { expectBytes } from '../support/blob.ts'
import {
  CONFIG,
  LAYER,
  OCI_INDEX,
  OCI_MANIFEST,
  contentOf,
  descriptorOf,
  encode,
  indexOf,
  locationOf,
  manifestOf,
  noise,
  startHosted,
  streamOf,
} from '../support/hosted-registry.ts'
import type { Content, HostedRegistry, Named } from '../support/hosted-registry.ts'

const MANIFESTS = '/v2/hosted/a/manifests'
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
const MiB = 1024 * 1024
const ABSENT: Named = { mediaType: LAYER, digest: `sha256:${'a'.repeat(64)}`, size: 3 }
const SUBJECT: Named = { ...ABSENT, mediaType: OCI_MANIFEST }

let registry: HostedRegistry
let config: Named
let layer: Named

beforeEach(async () => {
  registry = startHosted()
  config = { ...(await registry.pushBlob('hosted/a', await noise(10))), mediaType: CONFIG }
  layer = await registry.pushBlob('hosted/a', await noise(20, { seed: 2 }))
})

afterEach(async () => {
  await reset()
})

const put = (reference: string, document: object | Uint8Array, type = OCI_MANIFEST) =>
  registry.putManifest(`${MANIFESTS}/${reference}`, document, type)

/** It was taken, and is what its `Location` and every name of it lead to. */
async function expectPushed(
  answer: Response,
  { bytes, digest }: Content,
  { names = [], mediaType = OCI_MANIFEST }: { names?: readonly string[]; mediaType?: string } = {},
): Promise<void> {
  expect(answer.status).toBe(201)
  expect(answer.headers.get('docker-content-digest')).toBe(digest)
  const paths = [locationOf(answer), ...names.map((name) => `${MANIFESTS}/${name}`)]
  for (const path of paths) {
    for (const method of ['GET', 'HEAD']) {
      const pulled = await registry.send(method, path)
      expect(pulled.status).toBe(200)
      expect(Object.fromEntries(pulled.headers)).toMatchObject({
        'content-type': mediaType,
        'content-length': String(bytes.byteLength),
        'docker-content-digest': digest,
      })
      if (method === 'HEAD') expect(pulled.body).toBeNull()
      else expectBytes(await bytesOf(pulled), bytes)
    }
  }
}

describe('end-7a: a manifest', () => {
  it.each(['v1', 'A_long-Tag.1', '_', 't'.repeat(128)])('is pushed by tag: %s', async (tag) => {
    const image = await contentOf(encode(manifestOf(config, [layer])))
    await expectPushed(await put(tag, image.bytes), image, { names: [tag, image.digest] })
  })

  it.each(['sha256', 'sha512'] as const)('is pushed by digest: %s', async (algorithm) => {
    const image = await contentOf(encode(manifestOf(config, [layer])), algorithm)
    const answer = await put(image.digest, image.bytes)
    await expectPushed(answer, image, { names: [image.digest] })
  })

  it('keeps its bytes as they came, whatever white space is in them', async () => {
    const text = JSON.stringify(manifestOf(config, [layer]), null, '\t')
    const image = await contentOf(new TextEncoder().encode(` ${text}\n\n`))
    await expectPushed(await put('v1', image.bytes), image, { names: ['v1'] })
  })

  it.each([
    { name: 'of exactly 4 MiB', size: 4 * MiB },
    { name: 'of 3.95 MB of annotations', size: 3_950_000 },
  ])('$name is taken', async ({ size }) => {
    const image = await contentOf(sized(size))
    await expectPushed(await put('v1', image.bytes), image, { names: ['v1'] })
  })

  it.each([
    { name: 'with its Content-Length', body: (bytes: Uint8Array) => bytes },
    { name: 'as a stream of unknown length', body: (bytes: Uint8Array) => streamOf(bytes) },
  ])('above 4 MiB, $name, is 413', async ({ body }) => {
    const answer = await registry.send('PUT', `${MANIFESTS}/v1`, {
      headers: { 'Content-Type': OCI_MANIFEST },
      body: body(sized(4 * MiB + 1)),
    })
    expect(await refusalOf(answer)).toBe('413 SIZE_INVALID')
    expect((await registry.head(`${MANIFESTS}/v1`)).status).toBe(404)
  })

  it('that takes over a tag leaves the one before under its digest', async () => {
    const before = await contentOf(encode(manifestOf(config, [])))
    const image = await contentOf(encode(manifestOf(config, [layer])))
    await put('v1', before.bytes)
    await expectPushed(await put('v1', image.bytes), image, { names: ['v1'] })
    expectBytes(await bytesOf(await registry.get(`${MANIFESTS}/${before.digest}`)), before.bytes)
  })
})

/** A manifest of that many bytes. */
function sized(size: number): Uint8Array {
  const annotations = { padding: '' }
  const empty = encode(manifestOf(config, [layer], { annotations })).byteLength
  annotations.padding = 'x'.repeat(size - empty)
  return encode(manifestOf(config, [layer], { annotations }))
}

describe('end-7a: a digest', () => {
  it('that two trailing spaces make another is 400, and neither is there', async () => {
    const image = await contentOf(encode(manifestOf(config, [layer])))
    const bytes = new Uint8Array([...image.bytes, 32, 32])
    expect(await refusalOf(await put(image.digest, bytes))).toBe('400 DIGEST_INVALID')
    for (const { digest } of [image, await contentOf(bytes)]) {
      expect((await registry.head(`${MANIFESTS}/${digest}`)).status).toBe(404)
    }
  })

  it.each(['sha256:baddigeststring', 'sha256:totallywrong', `sha384:${'0'.repeat(96)}`])(
    'that is none, %s, is 400',
    async (digest) => {
      const answer = await put(digest, manifestOf(config, [layer]))
      expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
    },
  )
})

it.each(['.INVALID_MANIFEST_NAME', '-v1', 't'.repeat(129)])(
  'end-7a: a tag that is none, %s, is 400',
  async (tag) => {
    const answer = await put(tag, manifestOf(config, [layer]))
    expect(await refusalOf(answer)).toBe('400 MANIFEST_INVALID')
  },
)

describe('end-7a: the media type', () => {
  const bare = () => ({ schemaVersion: 2, config, layers: [layer] })

  it.each([
    {
      name: 'without parameters',
      sent: `${OCI_MANIFEST}; charset=utf-8`,
      of: () => manifestOf(config, []),
    },
    {
      name: 'of the document where none is sent',
      sent: undefined,
      of: () => manifestOf(config, []),
    },
    { name: 'of the header where the document has none', sent: OCI_MANIFEST, of: bare },
    { name: 'of its shape where neither says it', sent: undefined, of: bare },
    {
      name: 'of Docker',
      sent: DOCKER_MANIFEST,
      of: () => ({ ...bare(), mediaType: DOCKER_MANIFEST }),
    },
  ])('is served as it was pushed: $name', async ({ sent, of }) => {
    const image = await contentOf(encode(of()))
    const answer = await registry.send('PUT', `${MANIFESTS}/v1`, {
      headers: sent === undefined ? {} : { 'Content-Type': sent },
      body: image.bytes,
    })
    const mediaType = sent === DOCKER_MANIFEST ? DOCKER_MANIFEST : OCI_MANIFEST
    await expectPushed(answer, image, { names: ['v1'], mediaType })
  })

  it.each([
    {
      name: 'a header and a document that disagree',
      type: DOCKER_MANIFEST,
      of: () => manifestOf(config, []),
    },
    {
      name: 'manifest and index at once',
      type: OCI_INDEX,
      of: () => ({ ...bare(), manifests: [] }),
    },
    { name: 'schema 1', type: OCI_MANIFEST, of: () => ({ ...bare(), schemaVersion: 1 }) },
    { name: 'no JSON', type: OCI_MANIFEST, of: () => new Uint8Array([123]) },
    { name: 'no object', type: OCI_MANIFEST, of: () => [] },
  ])('refuses $name: 400', async ({ type, of }) => {
    expect(await refusalOf(await put('v1', of(), type))).toBe('400 MANIFEST_INVALID')
  })
})

describe('end-7a: what a manifest names', () => {
  it('and is not there is MANIFEST_BLOB_UNKNOWN, once for each', async () => {
    const other = { ...ABSENT, digest: `sha256:${'b'.repeat(64)}` }
    const answer = await put('v1', manifestOf({ ...other, mediaType: CONFIG }, [layer, ABSENT]))
    expect(answer.status).toBe(400)
    const { errors }: { errors: { code: string; detail: unknown }[] } = await answer.json()
    expect(errors.map(({ code }) => code)).toEqual(Array(2).fill('MANIFEST_BLOB_UNKNOWN'))
    const details = errors.map(({ detail }) => JSON.stringify(detail)).join()
    for (const { digest } of [other, ABSENT]) expect(details).toContain(digest)
    expect((await registry.head(`${MANIFESTS}/v1`)).status).toBe(404)
  })

  it('and is a missing child of an index is MANIFEST_BLOB_UNKNOWN', async () => {
    const answer = await put('v1', indexOf([SUBJECT]), OCI_INDEX)
    expect(await refusalOf(answer)).toBe('400 MANIFEST_BLOB_UNKNOWN')
  })

  it('may lie in another repository: that is MANIFEST_BLOB_UNKNOWN too', async () => {
    const there = await registry.pushBlob('hosted/b', await noise(5, { seed: 3 }))
    const answer = await put('v1', manifestOf(config, [there]))
    expect(await refusalOf(answer)).toBe('400 MANIFEST_BLOB_UNKNOWN')
  })

  it.each([
    {
      name: 'a layer that must not be distributed',
      of: () =>
        manifestOf(config, [
          {
            ...ABSENT,
            mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
            urls: ['https://other.test/layer'],
          },
        ]),
    },
    {
      name: 'a foreign layer of Docker',
      of: () =>
        manifestOf(config, [
          {
            ...ABSENT,
            mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
            urls: ['https://other.test/layer'],
          },
        ]),
    },
    { name: 'no layers', of: () => manifestOf(config, []) },
    {
      name: 'media types that nobody knows',
      of: () =>
        manifestOf({ ...config, mediaType: 'application/vnd.canary' }, [
          { ...layer, mediaType: 'application/vnd.canary.1+zip' },
        ]),
    },
    {
      name: 'an artifact type that nobody knows',
      of: () => manifestOf(config, [], { artifactType: 'application/vnd.canary' }),
    },
    {
      name: 'members that nobody knows',
      of: () => ({ ...manifestOf({ ...config, canary: 1 }, [layer]), canary: [{}] }),
    },
    { name: 'descriptors with data', of: () => manifestOf({ ...config, data: 'e30=' }, [layer]) },
    {
      name: 'annotations, also empty ones',
      of: () =>
        manifestOf(config, [], {
          annotations: { canary: '', 'org.opencontainers.image.title': 'x' },
        }),
    },
    { name: 'an index without manifests', type: OCI_INDEX, of: () => indexOf([]) },
  ])('may be $name', async ({ of, type = OCI_MANIFEST }) => {
    const image = await contentOf(encode(of()))
    await expectPushed(await put('v1', image.bytes, type), image, {
      names: ['v1'],
      mediaType: type,
    })
  })

  it('may have digests of different algorithms', async () => {
    const other = await registry.pushBlob('hosted/a', await noise(20, { algorithm: 'sha512' }))
    const image = await contentOf(encode(manifestOf(config, [layer, other])))
    await expectPushed(await put('v1', image.bytes), image, { names: ['v1'] })
  })

  it('may be an index of indexes', async () => {
    const image = await registry.pushImage('hosted/a')
    const inner = await contentOf(encode(indexOf([descriptorOf(image)])))
    await expectPushed(await put('inner', inner.bytes, OCI_INDEX), inner, { mediaType: OCI_INDEX })
    const outer = await contentOf(encode(indexOf([descriptorOf(inner, OCI_INDEX)])))
    await expectPushed(await put('outer', outer.bytes, OCI_INDEX), outer, { mediaType: OCI_INDEX })
  })

  it('may be missing where the repository is sparse, and is not read there for that', async () => {
    const known = await registry.pushBlob('sparse/a', await noise(10))
    const strange = { ...ABSENT, digest: 'canary+1:abc=' }
    for (const [reference, document, type] of [
      ['image', manifestOf({ ...known, mediaType: CONFIG }, [ABSENT, strange]), OCI_MANIFEST],
      ['index', indexOf([SUBJECT]), OCI_INDEX],
    ] as const) {
      const answer = await registry.putManifest(
        `/v2/sparse/a/manifests/${reference}`,
        document,
        type,
      )
      expect(answer.status).toBe(201)
    }
    await registry.pushBlob('hosted/a', await noise(7, { seed: 9 }))
    const { digest } = await noise(7, { seed: 9 })
    await registry.putManifest(
      '/v2/sparse/a/manifests/named',
      manifestOf({ ...known, mediaType: CONFIG }, [{ ...ABSENT, digest }]),
    )
    expect((await registry.head(`/v2/sparse/a/blobs/${digest}`)).status).toBe(404)
  })
})

describe('end-7: a subject', () => {
  it.each([
    {
      name: 'an image by tag',
      of: () => manifestOf(config, [], { subject: SUBJECT }),
      type: OCI_MANIFEST,
      isByTag: true,
    },
    {
      name: 'an image by digest',
      of: () => manifestOf(config, [], { subject: SUBJECT }),
      type: OCI_MANIFEST,
      isByTag: false,
    },
    {
      name: 'an index by tag',
      of: () => indexOf([], { subject: SUBJECT }),
      type: OCI_INDEX,
      isByTag: true,
    },
    {
      name: 'an index by digest',
      of: () => indexOf([], { subject: SUBJECT }),
      type: OCI_INDEX,
      isByTag: false,
    },
  ])(
    'that is not there: $name is taken, and OCI-Subject names it',
    async ({ of, type, isByTag }) => {
      const image = await contentOf(encode(of()))
      const answer = await put(isByTag ? 'v1' : image.digest, image.bytes, type)
      expect(answer.headers.get('oci-subject')).toBe(SUBJECT.digest)
      await expectPushed(answer, image, { mediaType: type })
    },
  )

  it('that nobody named: no OCI-Subject', async () => {
    expect((await put('v1', manifestOf(config, []))).headers.has('oci-subject')).toBe(false)
  })
})

describe('end-7b: tags beside a digest', () => {
  it.each(['sha256', 'sha512'] as const)(
    '%s: each is set, and told by OCI-Tag',
    async (algorithm) => {
      const image = await contentOf(encode(manifestOf(config, [layer])), algorithm)
      const tags = Array.from({ length: 12 }, (_, index) => `t${index}`)
      const query = tags.map((tag) => `tag=${tag}`).join('&')
      const answer = await put(`${image.digest}?${query}`, image.bytes)
      expect(answer.headers.get('oci-tag')?.split(/, ?/).toSorted()).toEqual(tags.toSorted())
      await expectPushed(answer, image, { names: [image.digest, ...tags] })
    },
  )

  it('of which one is none are refused, and none is set', async () => {
    const image = await contentOf(encode(manifestOf(config, [layer])))
    const answer = await put(`${image.digest}?tag=good&tag=.bad`, image.bytes)
    expect(await refusalOf(answer)).toBe('400 MANIFEST_INVALID')
    for (const name of ['good', image.digest]) {
      expect((await registry.head(`${MANIFESTS}/${name}`)).status).toBe(404)
    }
  })

  it('that are far too many are 414', async () => {
    const image = await contentOf(encode(manifestOf(config, [layer])))
    const query = Array.from({ length: 1000 }, (_, index) => `tag=t${index}`).join('&')
    const answer = await put(`${image.digest}?${query}`, image.bytes)
    expect(answer.status).toBe(414)
  })
})
