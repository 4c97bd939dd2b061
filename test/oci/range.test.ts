// Byte ranges, those of the conformance suite first.

import { describe, expect, it } from 'vitest'

import type { ByteRange } from '../../src/oci/range.ts'
import {
  formatContentRange,
  parseRange,
  resolveRange,
  unsatisfiedRange,
} from '../../src/oci/range.ts'

const BEYOND = '9'.repeat(400)

/** The answer to a `Range` for `size` bytes: `Content-Range`, or `whole`. */
function answer(header: string | null, size: number): string {
  const range = parseRange(header)
  if (range === undefined) {
    return 'whole'
  }
  const resolved = range === 'unsatisfiable' ? range : resolveRange(range, size)
  return resolved === 'unsatisfiable'
    ? unsatisfiedRange(size)
    : formatContentRange(resolved.offset, resolved.length, size)
}

describe('the ranges of the conformance suite, on 2048 bytes', () => {
  it.each([
    { header: 'bytes=500-1499', want: 'bytes 500-1499/2048' },
    { header: 'bytes=500-', want: 'bytes 500-2047/2048' },
    { header: 'bytes=-500', want: 'bytes 1548-2047/2048' },
    { header: 'bytes=2000-5000', want: 'bytes 2000-2047/2048' },
    { header: 'bytes=500-0', want: 'bytes */2048' },
    { header: 'bytes=5000-10000', want: 'bytes */2048' },
  ])('$header', ({ header, want }) => {
    expect(answer(header, 2048)).toBe(want)
  })
})

describe('edges', () => {
  it.each([
    { name: 'the first byte', header: 'bytes=0-0', size: 10, want: 'bytes 0-0/10' },
    { name: 'the last byte', header: 'bytes=9-', size: 10, want: 'bytes 9-9/10' },
    { name: 'all', header: 'bytes=0-', size: 10, want: 'bytes 0-9/10' },
    { name: 'all by its last position', header: 'bytes=0-9', size: 10, want: 'bytes 0-9/10' },
    { name: 'just beyond', header: 'bytes=10-', size: 10, want: 'bytes */10' },
    { name: 'a suffix longer than all', header: 'bytes=-99', size: 10, want: 'bytes 0-9/10' },
    { name: 'a suffix of nothing', header: 'bytes=-0', size: 10, want: 'bytes */10' },
    { name: 'a slice of the empty blob', header: 'bytes=0-', size: 0, want: 'bytes */0' },
    { name: 'a suffix of the empty blob', header: 'bytes=-5', size: 0, want: 'bytes */0' },
    { name: 'the unit in capitals', header: 'Bytes=1-2', size: 10, want: 'bytes 1-2/10' },
    { name: 'whitespace around', header: 'bytes= 1-2\t', size: 10, want: 'bytes 1-2/10' },
    { name: 'leading zeros', header: 'bytes=001-002', size: 10, want: 'bytes 1-2/10' },
    {
      name: 'a last position beyond numbers',
      header: `bytes=1-${BEYOND}`,
      size: 10,
      want: 'bytes 1-9/10',
    },
    {
      name: 'a first position beyond numbers',
      header: `bytes=${BEYOND}-`,
      size: 10,
      want: 'bytes */10',
    },
    {
      name: 'both beyond numbers',
      header: `bytes=${BEYOND}-${BEYOND}`,
      size: 10,
      want: 'bytes */10',
    },
    { name: 'a suffix beyond numbers', header: `bytes=-${BEYOND}`, size: 10, want: 'bytes 0-9/10' },
  ])('$name', ({ header, size, want }) => {
    expect(answer(header, size)).toBe(want)
  })
})

describe('what is ignored', () => {
  it.each([
    { name: 'no header', header: null },
    { name: 'an empty header', header: '' },
    { name: 'several ranges', header: 'bytes=0-1,3-4' },
    { name: 'several ranges with a fault', header: 'bytes=0-1,' },
    { name: 'another unit', header: 'items=0-1' },
    { name: 'no unit', header: '0-1' },
    { name: 'the range of an upload', header: '0-1023' },
    { name: 'neither position', header: 'bytes=-' },
    { name: 'no range', header: 'bytes=' },
    { name: 'a sign', header: 'bytes=+1-2' },
    { name: 'two hyphens', header: 'bytes=--2' },
    { name: 'hexadecimal', header: 'bytes=0x1-0x2' },
    { name: 'a fraction', header: 'bytes=1.5-2' },
    { name: 'whitespace inside', header: 'bytes=1 -2' },
    { name: 'whitespace before the equals sign', header: 'bytes =1-2' },
    { name: 'an answer', header: 'bytes 0-1/2' },
    { name: 'T098: a line break', header: 'bytes=0-1\r\nx: y' },
    { name: 'T119: 100 kB of whitespace', header: `bytes=0-1${' '.repeat(100_000)}x` },
    { name: 'T119: 100 kB of digits', header: `bytes=${'1'.repeat(100_000)}` },
  ])('$name', ({ header }) => {
    const start = performance.now()
    expect(answer(header, 10)).toBe('whole')
    expect(performance.now() - start).toBeLessThan(500)
  })
})

it.each<{ name: string; range: ByteRange }>([
  { name: 'an inverted slice', range: { kind: 'slice', first: 5, last: 0 } },
  { name: 'a suffix of nothing', range: { kind: 'suffix', length: 0 } },
])('$name that was not parsed is unsatisfiable too', ({ range }) => {
  expect(resolveRange(range, 10)).toBe('unsatisfiable')
})
