// Tags and digests are never mistaken for each other.

import { describe, expect, it } from 'vitest'

import { formatReference, parseReference, parseTag } from '../../src/oci/reference.ts'

const HEX = 'ab'.repeat(32)

describe('parseReference', () => {
  it.each([
    { name: 'a tag', text: 'latest', want: { kind: 'tag', tag: 'latest' } },
    { name: 'a tag of one character', text: '_', want: { kind: 'tag', tag: '_' } },
    { name: 'a tag in upper case', text: 'V1.0', want: { kind: 'tag', tag: 'V1.0' } },
    {
      name: 'a tag of 128 characters',
      text: 'a'.repeat(128),
      want: { kind: 'tag', tag: 'a'.repeat(128) },
    },
    {
      name: 'T015: a tag that is named like a digest',
      text: `sha256-${HEX}`,
      want: { kind: 'tag', tag: `sha256-${HEX}` },
    },
    { name: 'T015: bare hex as a tag', text: HEX, want: { kind: 'tag', tag: HEX } },
    {
      name: 'a signature tag of cosign',
      text: `sha256-${HEX}.sig`,
      want: { kind: 'tag', tag: `sha256-${HEX}.sig` },
    },
    {
      name: 'a digest',
      text: `sha256:${HEX}`,
      want: { kind: 'digest', digest: `sha256:${HEX}` },
    },
  ])('takes $name', ({ text, want }) => {
    const reference = parseReference(text)
    expect(reference).toEqual(want)
    expect(reference && formatReference(reference)).toBe(text)
  })

  it.each([
    { name: 'the empty text', text: '' },
    { name: 'a tag of 129 characters', text: 'a'.repeat(129) },
    { name: 'a leading dot', text: '.INVALID_MANIFEST_NAME' },
    { name: 'a leading hyphen', text: '-a' },
    { name: 'a slash', text: 'a/b' },
    { name: 'NUL', text: 'a\0' },
    { name: 'a newline at the end', text: 'latest\n' },
    { name: 'a plus, which Helm replaces', text: '1.0+build' },
    { name: 'a letter beyond ASCII', text: 'caf\u00e9' },
    { name: 'T015: a digest in upper case', text: `sha256:${HEX.toUpperCase()}` },
    { name: 'a digest of the conformance suite', text: 'sha256:baddigeststring' },
    { name: 'a digest of an unknown algorithm', text: `sha384:${'0'.repeat(96)}` },
    { name: 'a tag with a digest', text: `latest@sha256:${HEX}` },
  ])('refuses $name', ({ text }) => {
    expect(parseReference(text)).toBeUndefined()
  })
})

describe('parseTag', () => {
  it('takes no digest', () => {
    expect(parseTag(`sha256:${HEX}`)).toBeUndefined()
  })
})
