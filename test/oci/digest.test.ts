// Digests: one spelling each, and the hash that they stand for.

import { describe, expect, it } from 'vitest'

import type { Algorithm, Digest } from '../../src/oci/digest.ts'
import {
  algorithmOf,
  digestBytes,
  digestOf,
  encodedOf,
  formatDigest,
  parseDigest,
} from '../../src/oci/digest.ts'

const HEX_256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const HEX_512 =
  'cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce' +
  '47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e'

function requireDigest(text: string): Digest {
  const digest = parseDigest(text)
  if (digest === undefined) {
    throw new Error(`no digest: ${text}`)
  }
  return digest
}

describe('parseDigest', () => {
  it.each([
    { name: 'takes sha256', text: `sha256:${HEX_256}` },
    { name: 'takes sha512', text: `sha512:${HEX_512}` },
  ])('$name', ({ text }) => {
    expect(parseDigest(text)).toBe(text)
  })

  it.each([
    { name: 'T015: refuses upper-case hex', text: `sha256:${HEX_256.toUpperCase()}` },
    { name: 'T015: refuses 63 digits', text: `sha256:${HEX_256.slice(1)}` },
    { name: 'T015: refuses 65 digits', text: `sha256:${HEX_256}0` },
    { name: 'T015: refuses a tag that is named like a digest', text: `sha256-${HEX_256}` },
    { name: 'refuses an upper-case algorithm', text: `SHA256:${HEX_256}` },
    { name: 'refuses sha256 of the length of sha512', text: `sha256:${HEX_512}` },
    { name: 'refuses sha512 of the length of sha256', text: `sha512:${HEX_256}` },
    { name: 'T016: refuses an algorithm that it cannot verify', text: `sha384:${'0'.repeat(96)}` },
    { name: 'refuses blake3, which WebCrypto lacks', text: `blake3:${HEX_256}` },
    { name: 'T091: refuses md5', text: 'md5:d41d8cd98f00b204e9800998ecf8427e' },
    { name: 'T091: refuses a path', text: 'sha256:../../x' },
    { name: 'T091: refuses three parts', text: 'a:b:c' },
    { name: 'T091: refuses a newline at the end', text: `sha256:${HEX_256}\n` },
    { name: 'T091: refuses NUL', text: `sha256:${HEX_256.slice(1)}\0` },
    { name: 'refuses surrounding whitespace', text: ` sha256:${HEX_256}` },
    { name: 'refuses non-hex letters', text: `sha256:${'g'.repeat(64)}` },
    { name: 'refuses full-width digits', text: `sha256:${'０'.repeat(64)}` },
    { name: 'refuses the algorithm alone', text: 'sha256:' },
    { name: 'refuses the empty text', text: '' },
  ])('$name', ({ text }) => {
    expect(parseDigest(text)).toBeUndefined()
  })
})

describe('the parts of a digest', () => {
  it.each([
    { algorithm: 'sha256', encoded: HEX_256, length: 32 },
    { algorithm: 'sha512', encoded: HEX_512, length: 64 },
  ])('of $algorithm', ({ algorithm, encoded, length }) => {
    const digest = requireDigest(`${algorithm}:${encoded}`)
    expect(algorithmOf(digest)).toBe(algorithm)
    expect(encodedOf(digest)).toBe(encoded)
    expect(digestBytes(digest)).toHaveLength(length)
    expect(Buffer.from(digestBytes(digest)).toString('hex')).toBe(encoded)
  })
})

describe('digestOf', () => {
  it('hashes with sha256 if nothing else is said', async () => {
    expect(await digestOf(new Uint8Array())).toBe(`sha256:${HEX_256}`)
  })

  it('hashes with sha512', async () => {
    expect(await digestOf(new Uint8Array(), 'sha512')).toBe(`sha512:${HEX_512}`)
  })

  it('hashes the view, not the buffer behind it', async () => {
    const view = new TextEncoder().encode('xabcx').subarray(1, 4)
    expect(await digestOf(view)).toBe(
      'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    )
  })
})

describe('formatDigest', () => {
  it('pads every byte to two digits', () => {
    const hash = Uint8Array.from({ length: 32 }, (_, index) => index)
    expect(formatDigest('sha256', hash.buffer)).toBe(
      'sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
    )
  })

  it.each<{ name: string; algorithm: Algorithm; length: number }>([
    { name: 'a sha512 hash as sha256', algorithm: 'sha256', length: 64 },
    { name: 'no bytes', algorithm: 'sha512', length: 0 },
  ])('refuses $name', ({ algorithm, length }) => {
    expect(() => formatDigest(algorithm, new ArrayBuffer(length))).toThrow(TypeError)
  })
})
