// `Content-Range` of a chunk in every spelling that clients use, and `Range` of a session.

import { describe, expect, it } from 'vitest'
import { formatUploadRange, parseUploadRange } from '../../src/oci/upload-range.ts'

const LARGEST = Number.MAX_SAFE_INTEGER - 1

describe('Content-Range of a chunk', () => {
  it.each([
    { name: 'none', header: null, want: undefined },
    { name: "the spec's", header: '0-9', want: { first: 0, last: 9 } },
    { name: 'one byte', header: '7-7', want: { first: 7, last: 7 } },
    { name: 'with a unit', header: 'bytes 0-9', want: { first: 0, last: 9 } },
    { name: 'with a unit in capitals', header: 'Bytes 0-9', want: { first: 0, last: 9 } },
    { name: 'with an unknown size', header: 'bytes 0-9/*', want: { first: 0, last: 9 } },
    { name: 'with a size', header: '10-19/20', want: { first: 10, last: 19 } },
    { name: 'with space around it', header: ' 0-9 ', want: { first: 0, last: 9 } },
    { name: 'leading zeros', header: '007-010', want: { first: 7, last: 10 } },
    { name: 'backwards, as it was written', header: '9-0', want: { first: 9, last: 0 } },
    {
      name: 'further than a number can say',
      header: `0-${'9'.repeat(400)}`,
      want: { first: 0, last: LARGEST },
    },
    { name: 'empty', header: '', want: 'invalid' },
    { name: 'no end', header: '0-', want: 'invalid' },
    { name: 'no start', header: '-9', want: 'invalid' },
    { name: 'a negative end', header: '0--1', want: 'invalid' },
    { name: 'an unsatisfied range', header: 'bytes */9', want: 'invalid' },
    { name: 'two ranges', header: '0-4,5-9', want: 'invalid' },
    { name: 'hexadecimal', header: '0x0-0x9', want: 'invalid' },
    { name: 'a unit of its own', header: 'items 0-9', want: 'invalid' },
    { name: 'the spelling of Range', header: 'bytes=0-9', want: 'invalid' },
    { name: 'words', header: 'all of it', want: 'invalid' },
  ])('$name', ({ header, want }) => {
    expect(parseUploadRange(header)).toEqual(want)
  })
})

describe('Range of a session', () => {
  it.each([
    { offset: 0, want: '0-0' },
    { offset: 1, want: '0-0' },
    { offset: 2, want: '0-1' },
    { offset: 5_000_000_000, want: '0-4999999999' },
  ])('of $offset bytes is $want', ({ offset, want }) => {
    expect(formatUploadRange(offset)).toBe(want)
  })
})
