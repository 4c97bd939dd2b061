// The documents of the referrers API and of its fallback.

import { describe, expect, it } from 'vitest'

import { parseDigest } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import {
  filterReferrers,
  formatReferrers,
  MAX_REFERRERS_PAGE,
  parseReferrers,
  referrersTag,
  takeReferrers,
} from '../../src/oci/referrers.ts'
import { parseTag } from '../../src/oci/reference.ts'

const SIGNATURE = {
  mediaType: MEDIA_TYPE.OCI_MANIFEST,
  digest: `sha256:${'1'.repeat(64)}`,
  size: 10,
  artifactType: 'application/vnd.example.signature+json',
  annotations: { 'org.example.by': 'me' },
}
const SBOM = {
  mediaType: MEDIA_TYPE.OCI_MANIFEST,
  digest: `sha256:${'2'.repeat(64)}`,
  size: 20,
  artifactType: 'application/spdx',
}
const PLAIN = { mediaType: MEDIA_TYPE.OCI_INDEX, digest: `sha256:${'3'.repeat(64)}`, size: 30 }

function encode(document: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(document))
}

describe('referrersTag', () => {
  it.each([
    { name: 'sha256', text: `sha256:${'ab'.repeat(32)}`, want: `sha256-${'ab'.repeat(32)}` },
    {
      name: 'sha512, cut to 64 characters',
      text: `sha512:${'ab'.repeat(32)}${'cd'.repeat(32)}`,
      want: `sha512-${'ab'.repeat(32)}`,
    },
  ])('of $name is a tag', ({ text, want }) => {
    const digest = parseDigest(text)
    const tag = digest && referrersTag(digest)
    expect(tag).toBe(want)
    expect(parseTag(tag ?? '')).toBe(want)
  })
})

describe('formatReferrers', () => {
  it('is an image index, also when empty', () => {
    expect(formatReferrers([])).toBe(
      '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}',
    )
  })

  it('is read back by parseReferrers', () => {
    const list = [SIGNATURE, PLAIN]
    expect(parseReferrers(new TextEncoder().encode(formatReferrers(list)))).toEqual(list)
  })
})

describe('parseReferrers', () => {
  it.each([
    {
      name: 'an index',
      document: { mediaType: MEDIA_TYPE.OCI_INDEX, manifests: [SBOM] },
      want: [SBOM],
    },
    { name: 'an index without a media type', document: { manifests: [SBOM] }, want: [SBOM] },
    { name: 'a list of null, as Go writes one', document: { manifests: null }, want: [] },
    {
      name: 'an index with faulty entries',
      document: { manifests: [{}, SBOM, null] },
      want: [SBOM],
    },
    {
      name: 'an index with a subject',
      document: { manifests: [SBOM], subject: PLAIN },
      want: [SBOM],
    },
  ])('reads $name', ({ document, want }) => {
    expect(parseReferrers(encode(document))).toEqual(want)
  })

  it.each([
    { name: 'an error', document: { errors: [] } },
    { name: 'an image', document: { mediaType: MEDIA_TYPE.OCI_MANIFEST, layers: [] } },
    { name: 'a Docker list', document: { mediaType: MEDIA_TYPE.DOCKER_LIST, manifests: [] } },
    { name: 'manifests that are no list', document: { manifests: {} } },
    { name: 'no object', document: [] },
  ])('refuses $name', ({ document }) => {
    expect(parseReferrers(encode(document))).toBeUndefined()
  })
})

describe('filterReferrers', () => {
  it.each([
    { name: 'nothing asked for', types: [], want: [SIGNATURE, SBOM, PLAIN] },
    { name: 'one type', types: ['application/spdx'], want: [SBOM] },
    {
      name: 'several types, either of them',
      types: ['application/spdx', 'application/vnd.example.signature+json'],
      want: [SIGNATURE, SBOM],
    },
    {
      name: 'a plus that came as a space',
      types: ['application/vnd.example.signature json'],
      want: [SIGNATURE],
    },
    { name: 'an unknown type', types: ['a/b'], want: [] },
    { name: 'an empty type', types: [''], want: [] },
  ])('$name', ({ types, want }) => {
    expect(filterReferrers([SIGNATURE, SBOM, PLAIN], types)).toEqual(want)
  })
})

describe('takeReferrers', () => {
  const sized = (hex: string, text: string, artifactType = 'a/b') => ({
    mediaType: MEDIA_TYPE.OCI_MANIFEST,
    digest: `sha256:${hex.repeat(64)}`,
    size: 1,
    artifactType,
    annotations: { text },
  })
  const [a, b, c] = [sized('a', ''), sized('b', '', 'c/d'), sized('c', '')]
  const all = { artifactTypes: [], last: undefined }

  it.each([
    { name: 'in the order of digests', given: [c, a, b], page: all, want: [a, b, c] },
    { name: 'after `last`', given: [c, a, b], page: { ...all, last: a.digest }, want: [b, c] },
    {
      name: 'after a `last` that is gone',
      given: [a, c],
      page: { ...all, last: b.digest },
      want: [c],
    },
    { name: 'of a type', given: [a, b, c], page: { ...all, artifactTypes: ['c/d'] }, want: [b] },
    {
      name: 'of a type, after `last`',
      given: [a, b, c],
      page: { artifactTypes: ['a/b'], last: a.digest },
      want: [c],
    },
    { name: 'nothing', given: [], page: all, want: [] },
  ])('$name', ({ given, page, want }) => {
    expect(takeReferrers(given, page)).toEqual({ items: want, next: undefined })
  })

  it('cuts a page before it is too large, and says where to go on', () => {
    const half = 'x'.repeat(MAX_REFERRERS_PAGE / 2 - 500)
    const given = [sized('a', half), sized('b', half), sized('c', half)]
    const first = takeReferrers(given, all)
    expect(first.items.map(({ digest }) => digest)).toEqual([given[0]?.digest, given[1]?.digest])
    expect(first.next).toBe(given[1]?.digest)
    expect(takeReferrers(given, { ...all, last: first.next }).items).toEqual([given[2]])
  })

  it('gives one that is too large by itself, lest nobody ever gets further', () => {
    const given = [sized('a', 'x'.repeat(MAX_REFERRERS_PAGE)), b]
    expect(takeReferrers(given, all)).toEqual({ items: [given[0]], next: given[0]?.digest })
  })
})
