// The documents of the referrers API and of its fallback.

import { describe, expect, it } from 'vitest'

import { parseDigest } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import {
  filterReferrers,
  formatReferrers,
  parseReferrers,
  referrersTag,
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
