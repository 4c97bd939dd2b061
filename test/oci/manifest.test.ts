// Manifests: what passes, what two readers could take for different things, what is told of them.

import { describe, expect, it } from 'vitest'

import type { ManifestInspection } from '../../src/oci/manifest.ts'
import { ACCEPT_MANIFEST, inspectManifest, MEDIA_TYPE } from '../../src/oci/manifest.ts'

const { OCI_INDEX, OCI_MANIFEST, OCI_ARTIFACT, DOCKER_LIST, DOCKER_MANIFEST } = MEDIA_TYPE

function descriptor(character: string, mediaType = 'application/octet-stream') {
  return { mediaType, digest: `sha256:${character.repeat(64)}`, size: 1 }
}

const CONFIG = descriptor('c', 'application/vnd.oci.image.config.v1+json')
const LAYER = descriptor('1')
const IMAGE = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: CONFIG, layers: [LAYER] }
const CHILD = descriptor('2', OCI_MANIFEST)
const INDEX = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [CHILD] }
const SUBJECT = descriptor('5', OCI_MANIFEST)

function inspect(document: unknown, contentType: string | null): ManifestInspection {
  const text = typeof document === 'string' ? document : JSON.stringify(document)
  return inspectManifest(new TextEncoder().encode(text), contentType)
}

function without(document: Readonly<Record<string, unknown>>, key: string) {
  return { ...document, [key]: undefined }
}

describe('the media type', () => {
  it.each([
    { name: 'of an image', document: IMAGE, type: OCI_MANIFEST, want: OCI_MANIFEST },
    { name: 'of an index', document: INDEX, type: OCI_INDEX, want: OCI_INDEX },
    {
      name: 'without parameters',
      document: IMAGE,
      type: `${OCI_MANIFEST}; charset=utf-8`,
      want: OCI_MANIFEST,
    },
    {
      name: 'in lower case',
      document: IMAGE,
      type: OCI_MANIFEST.toUpperCase(),
      want: OCI_MANIFEST,
    },
    {
      name: 'of the content type if the document has none',
      document: without(IMAGE, 'mediaType'),
      type: DOCKER_MANIFEST,
      want: DOCKER_MANIFEST,
    },
    {
      name: 'of the content type if the document has an empty one',
      document: { ...IMAGE, mediaType: '' },
      type: OCI_MANIFEST,
      want: OCI_MANIFEST,
    },
    { name: 'of the document, no content type', document: IMAGE, type: null, want: OCI_MANIFEST },
    {
      name: 'of the document, application/json',
      document: INDEX,
      type: 'application/json',
      want: OCI_INDEX,
    },
    {
      name: 'of the document, text/plain with a charset',
      document: INDEX,
      type: 'text/plain; charset=utf-8',
      want: OCI_INDEX,
    },
    {
      name: 'of the document, application/octet-stream',
      document: { ...INDEX, mediaType: DOCKER_LIST },
      type: 'application/octet-stream',
      want: DOCKER_LIST,
    },
    {
      name: 'of the shape: an index',
      document: without(INDEX, 'mediaType'),
      type: null,
      want: OCI_INDEX,
    },
    {
      name: 'of the shape: an image',
      document: without(IMAGE, 'mediaType'),
      type: '',
      want: OCI_MANIFEST,
    },
    {
      name: 'that is unknown',
      document: { ...IMAGE, mediaType: 'application/vnd.example.thing.v7' },
      type: 'application/vnd.example.thing.v7',
      want: 'application/vnd.example.thing.v7',
    },
  ])('$name', ({ document, type, want }) => {
    expect(inspect(document, type)).toMatchObject({ ok: true, mediaType: want })
  })
})

describe('what passes', () => {
  it.each([
    { name: 'an image without layers', document: { ...IMAGE, layers: [] }, type: OCI_MANIFEST },
    {
      name: 'an image without a list of layers',
      document: without(IMAGE, 'layers'),
      type: OCI_MANIFEST,
    },
    { name: 'an index without manifests', document: { ...INDEX, manifests: [] }, type: OCI_INDEX },
    {
      name: 'an index of an index',
      document: { ...INDEX, manifests: [descriptor('3', OCI_INDEX)] },
      type: OCI_INDEX,
    },
    { name: 'unknown members', document: { ...IMAGE, x: { y: [1] } }, type: OCI_MANIFEST },
    { name: 'no schemaVersion', document: without(IMAGE, 'schemaVersion'), type: OCI_MANIFEST },
    {
      name: 'a layer that is no descriptor',
      document: { ...IMAGE, layers: ['x'] },
      type: OCI_MANIFEST,
    },
    { name: 'an empty object', document: {}, type: OCI_MANIFEST },
    {
      name: 'an artifact manifest of the release candidates',
      document: { mediaType: OCI_ARTIFACT, artifactType: 'a/b', blobs: [LAYER] },
      type: OCI_ARTIFACT,
    },
    { name: 'nested keys that are repeated', document: '{"x":{"a":1,"a":2}}', type: OCI_MANIFEST },
    {
      name: 'keys of another kind below the top',
      document: { ...INDEX, x: { layers: [], config: {} } },
      type: OCI_INDEX,
    },
  ])('$name', ({ document, type }) => {
    expect(inspect(document, type)).toMatchObject({ ok: true, mediaType: type })
  })
})

describe('T012: what is refused', () => {
  it.each([
    { name: 'no JSON', document: 'x', type: OCI_MANIFEST, want: 'JSON' },
    { name: 'nothing', document: '', type: OCI_MANIFEST, want: 'JSON' },
    { name: 'a list', document: [IMAGE], type: OCI_MANIFEST, want: 'JSON' },
    {
      name: 'another mediaType than Content-Type',
      document: IMAGE,
      type: OCI_INDEX,
      want: 'differs',
    },
    {
      name: 'a mediaType that is no string',
      document: { ...IMAGE, mediaType: 2 },
      type: OCI_MANIFEST,
      want: 'not a string',
    },
    {
      name: 'manifests and layers',
      document: { ...INDEX, layers: [] },
      type: OCI_INDEX,
      want: 'both',
    },
    {
      name: 'manifests and config',
      document: { ...INDEX, config: CONFIG },
      type: OCI_INDEX,
      want: 'both',
    },
    {
      name: 'manifests and blobs',
      document: { ...INDEX, blobs: [] },
      type: OCI_INDEX,
      want: 'both',
    },
    {
      name: 'manifests of null and layers',
      document: { ...IMAGE, manifests: null },
      type: OCI_MANIFEST,
      want: 'both',
    },
    {
      name: 'a repeated key',
      document: '{"schemaVersion":2,"layers":[],"layers":[]}',
      type: OCI_MANIFEST,
      want: 'a top-level key stands twice',
    },
    {
      name: 'a repeated key in another spelling',
      document: '{"mediaType":"a","media\\u0054ype":"b"}',
      type: OCI_MANIFEST,
      want: 'a top-level key stands twice',
    },
    {
      name: 'schema 1',
      document: { schemaVersion: 1, fsLayers: [] },
      type: OCI_MANIFEST,
      want: 'schemaVersion',
    },
    {
      name: 'schema 3',
      document: { ...IMAGE, schemaVersion: 3 },
      type: OCI_MANIFEST,
      want: 'schemaVersion',
    },
    {
      name: 'a schemaVersion in quotes',
      document: { ...IMAGE, schemaVersion: '2' },
      type: OCI_MANIFEST,
      want: 'schemaVersion',
    },
    {
      name: 'the type of schema 1',
      document: {},
      type: MEDIA_TYPE.DOCKER_SCHEMA1,
      want: 'media type',
    },
    {
      name: 'the type of signed schema 1',
      document: {},
      type: MEDIA_TYPE.DOCKER_SCHEMA1_SIGNED,
      want: 'media type',
    },
    {
      name: 'schema 1 by the document',
      document: { mediaType: MEDIA_TYPE.DOCKER_SCHEMA1 },
      type: 'application/json',
      want: 'media type',
    },
    { name: 'T013: HTML', document: '<html>', type: 'text/html', want: 'JSON' },
    {
      name: 'T013: JSON as HTML',
      document: without(IMAGE, 'mediaType'),
      type: 'text/html; charset=utf-8',
      want: 'media type',
    },
    { name: 'an image file', document: {}, type: 'image/png', want: 'media type' },
    {
      name: 'a shape that says nothing',
      document: { errors: [] },
      type: 'application/json',
      want: 'media type',
    },
    {
      name: 'HTML by the document',
      document: { ...IMAGE, mediaType: 'text/html' },
      type: null,
      want: 'media type',
    },
    {
      name: 'T098: a line break in the type of the document',
      document: { ...IMAGE, mediaType: 'application/json\r\nset-cookie: a' },
      type: null,
      want: 'media type',
    },
    {
      name: 'parameters in the type of the document',
      document: { ...IMAGE, mediaType: `${OCI_MANIFEST}; a=b` },
      type: null,
      want: 'media type',
    },
    { name: 'a type without a subtype', document: {}, type: 'json', want: 'media type' },
    {
      name: 'a type of 200 characters',
      document: {},
      type: `application/json${'a'.repeat(200)}`,
      want: 'media type',
    },
  ])('$name', ({ document, type, want }) => {
    const inspection = inspect(document, type)
    expect(inspection.ok).toBe(false)
    expect(inspection.ok ? '' : inspection.reason).toContain(want)
  })
})

describe('the description', () => {
  it.each([
    {
      name: 'of an image',
      document: { ...IMAGE, subject: SUBJECT },
      type: OCI_MANIFEST,
      want: [CONFIG, LAYER, SUBJECT],
    },
    {
      name: 'of an index',
      document: { ...INDEX, subject: SUBJECT },
      type: OCI_INDEX,
      want: [CHILD, SUBJECT],
    },
    {
      name: 'of an artifact manifest',
      document: { blobs: [LAYER] },
      type: OCI_ARTIFACT,
      want: [LAYER],
    },
    {
      name: 'without entries that are no descriptors',
      document: { config: null, layers: [LAYER, {}, null, 'x', { ...LAYER, size: -1 }] },
      type: OCI_MANIFEST,
      want: [LAYER],
    },
    {
      name: 'without lists that are none',
      document: { layers: { 0: LAYER } },
      type: OCI_MANIFEST,
      want: [],
    },
  ])('has the descriptors $name', ({ document, type, want }) => {
    expect(inspect(document, type)).toMatchObject({ ok: true, descriptors: want })
  })

  it.each([
    { name: 'a subject', subject: SUBJECT, want: SUBJECT.digest },
    { name: 'no subject', subject: undefined, want: undefined },
    { name: 'a subject that is no descriptor', subject: {}, want: undefined },
    {
      name: 'a subject of an unknown algorithm',
      subject: { ...SUBJECT, digest: 'x:y' },
      want: undefined,
    },
  ])('has $name', ({ subject, want }) => {
    expect(inspect({ ...IMAGE, subject }, OCI_MANIFEST)).toMatchObject({ ok: true, subject: want })
  })

  it.each([
    {
      name: 'its own',
      document: { ...IMAGE, artifactType: 'a/b' },
      type: OCI_MANIFEST,
      want: 'a/b',
    },
    { name: 'that of the config', document: IMAGE, type: OCI_MANIFEST, want: CONFIG.mediaType },
    {
      name: 'that of the config of a Docker image',
      document: { ...IMAGE, mediaType: DOCKER_MANIFEST },
      type: DOCKER_MANIFEST,
      want: CONFIG.mediaType,
    },
    {
      name: 'that of the config, for an empty one',
      document: { ...IMAGE, artifactType: '' },
      type: OCI_MANIFEST,
      want: CONFIG.mediaType,
    },
    {
      name: 'that of an index',
      document: { ...INDEX, artifactType: 'a/b' },
      type: OCI_INDEX,
      want: 'a/b',
    },
    { name: 'none of an index', document: INDEX, type: OCI_INDEX, want: undefined },
    {
      name: 'none of an image without a config',
      document: {},
      type: OCI_MANIFEST,
      want: undefined,
    },
    {
      name: 'none that is no string',
      document: { ...INDEX, artifactType: 1 },
      type: OCI_INDEX,
      want: undefined,
    },
  ])('has as artifact type $name', ({ document, type, want }) => {
    expect(inspect(document, type)).toMatchObject({ ok: true, artifactType: want })
  })

  it.each([
    { name: 'annotations', annotations: { a: 'b' }, want: { a: 'b' } },
    { name: 'no annotations', annotations: undefined, want: undefined },
    { name: 'annotations that are not all strings', annotations: { a: 1 }, want: undefined },
  ])('has $name', ({ annotations, want }) => {
    expect(inspect({ ...IMAGE, annotations }, OCI_MANIFEST)).toMatchObject({ annotations: want })
  })
})

describe('contents', () => {
  const foreign = { ...LAYER, digest: 'sha384:00' }

  it.each([
    { name: 'an image', document: IMAGE, blobs: [CONFIG, LAYER], manifests: [] },
    { name: 'an index', document: INDEX, blobs: [], manifests: [CHILD] },
    { name: 'an artifact', document: { blobs: [LAYER] }, blobs: [LAYER], manifests: [] },
    {
      name: 'the subject is none of it',
      document: { ...IMAGE, subject: SUBJECT },
      blobs: [CONFIG, LAYER],
      manifests: [],
    },
    {
      name: 'an algorithm that is no Digest here',
      document: { ...IMAGE, layers: [foreign] },
      blobs: [CONFIG, foreign],
      manifests: [],
    },
    {
      name: 'what is malformed is left out',
      document: { ...INDEX, manifests: [{}, CHILD] },
      blobs: [],
      manifests: [CHILD],
    },
    { name: 'an empty object', document: {}, blobs: [], manifests: [] },
  ])('$name', ({ document, blobs, manifests }) => {
    const type = 'manifests' in document ? OCI_INDEX : OCI_MANIFEST
    const inspection = inspect({ ...document, mediaType: type }, type)
    expect(inspection).toMatchObject({ ok: true, contents: { blobs, manifests } })
  })
})

describe('malformed', () => {
  it.each([
    { name: 'an image is not', document: IMAGE, want: undefined },
    { name: 'an index is not', document: INDEX, want: undefined },
    { name: 'an empty object is not', document: {}, want: undefined },
    {
      name: 'null is nothing, as Go writes it',
      document: { config: null, layers: null, subject: null, blobs: null },
      want: undefined,
    },
    { name: 'a null of manifests', document: { manifests: null }, want: undefined },
    { name: 'no layers', document: { ...IMAGE, layers: [] }, want: undefined },
    { name: 'a config', document: { ...IMAGE, config: {} }, want: 'config' },
    { name: 'a config that is text', document: { ...IMAGE, config: 'x' }, want: 'config' },
    { name: 'an empty config', document: { ...IMAGE, config: '' }, want: 'config' },
    { name: 'a subject', document: { ...IMAGE, subject: { size: 1 } }, want: 'subject' },
    { name: 'a subject of an index', document: { ...INDEX, subject: 0 }, want: 'subject' },
    {
      name: 'a layer of a malformed digest',
      document: { ...IMAGE, layers: [LAYER, { ...LAYER, digest: 'sha256:00' }] },
      want: 'layers[1]',
    },
    { name: 'a layer that is null', document: { ...IMAGE, layers: [null] }, want: 'layers[0]' },
    { name: 'layers that are no list', document: { ...IMAGE, layers: {} }, want: 'layers' },
    { name: 'a manifest', document: { manifests: [CHILD, []] }, want: 'manifests[1]' },
    { name: 'manifests that are text', document: { manifests: 'x' }, want: 'manifests' },
    {
      name: 'a blob without a size',
      document: { blobs: [{ ...LAYER, size: undefined }] },
      want: 'blobs[0]',
    },
  ])('$name', ({ document, want }) => {
    const type = 'manifests' in document ? OCI_INDEX : OCI_MANIFEST
    const inspection = inspect({ ...document, mediaType: type }, type)
    expect(inspection.ok && inspection.malformed).toBe(want)
  })
})

it.each([
  {
    name: '10 000 layers',
    document: { ...IMAGE, layers: Array.from({ length: 10_000 }, () => LAYER) },
    type: OCI_MANIFEST,
    want: 10_001,
  },
  {
    name: '10 000 manifests',
    document: { ...INDEX, manifests: Array.from({ length: 10_000 }, () => CHILD) },
    type: OCI_INDEX,
    want: 10_000,
  },
  {
    name: '4 MB of nesting',
    document: `{"x":${'['.repeat(2_000_000)}${']'.repeat(2_000_000)}}`,
    type: OCI_MANIFEST,
    want: 0,
  },
])('T111: $name end in time', ({ document, type, want }) => {
  const start = performance.now()
  const inspection = inspect(document, type)
  expect(inspection.ok ? inspection.descriptors.length : inspection.reason).toBe(want)
  expect(performance.now() - start).toBeLessThan(2000)
})

it('ACCEPT_MANIFEST never invites schema 1, and takes the rest last', () => {
  const types = ACCEPT_MANIFEST.split(', ')
  expect(types.slice(0, 2)).toEqual([OCI_INDEX, OCI_MANIFEST])
  expect(types.at(-1)).toBe('*/*')
  expect(ACCEPT_MANIFEST).not.toContain('distribution.manifest.v1')
})
