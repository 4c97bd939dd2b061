// Pages of sorted lists, and the links between them.

import { describe, expect, it } from 'vitest'

import {
  compareASCII,
  formatLink,
  parseNextLink,
  parsePage,
  skipTo,
  takePage,
} from '../../src/oci/page.ts'

describe('parsePage', () => {
  it.each([
    { name: 'nothing asked for', query: '', want: { n: undefined, last: undefined } },
    { name: 'both', query: 'n=2&last=b', want: { n: 2, last: 'b' } },
    { name: 'last alone', query: 'last=b', want: { n: undefined, last: 'b' } },
    { name: 'an empty last', query: 'n=2&last=', want: { n: 2, last: undefined } },
    { name: 'n=0', query: 'n=0', want: { n: 0, last: undefined } },
    { name: 'T112: a large n', query: 'n=1000000000', want: { n: 1e9, last: undefined } },
    { name: 'T112: n twice, the first counts', query: 'n=1&n=2', want: { n: 1, last: undefined } },
    { name: 'a last that is no tag', query: 'last=%2F%00', want: { n: undefined, last: '/\0' } },
  ])('takes $name', ({ query, want }) => {
    expect(parsePage(new URLSearchParams(query))).toEqual(want)
  })

  it.each([
    { name: 'a negative number', n: '-1' },
    { name: 'a fraction', n: '1.5' },
    { name: 'letters', n: 'abc' },
    { name: 'nothing', n: '' },
    { name: '2^63', n: '9223372036854775808' },
    { name: 'infinity', n: 'Infinity' },
    { name: 'an exponent', n: '1e3' },
    { name: 'hexadecimal', n: '0x10' },
    { name: 'whitespace', n: ' 1' },
    { name: 'digits beyond ASCII', n: '١' },
  ])('T112: refuses $name', ({ n }) => {
    expect(() => parsePage(new URLSearchParams({ n }))).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', status: 400 }),
    )
  })
})

describe('skipTo', () => {
  it.each([
    { name: 'a place that counts', after: 'b/x', beginnings: ['b/'], want: 'b/x' },
    { name: 'everything counts', after: 'b/x', beginnings: [''], want: 'b/x' },
    { name: 'before the next one', after: 'a/z', beginnings: ['d/', 'b/'], want: 'b.~' },
    { name: 'from the start', after: '', beginnings: ['app'], want: 'apo~' },
    { name: 'none follows', after: 'c', beginnings: ['b/', 'a'], want: undefined },
    { name: 'none at all', after: '', beginnings: [], want: undefined },
  ])('$name', ({ after, beginnings, want }) => {
    expect(skipTo(after, beginnings)).toBe(want)
  })
})

describe('takePage', () => {
  const TAGS = ['0.1', 'A', 'B', 'a', 'b', 'c']

  it.each([
    { name: 'all', page: {}, items: TAGS, next: undefined },
    { name: 'the first', page: { n: 2 }, items: ['0.1', 'A'], next: 'A' },
    { name: 'one in the middle', page: { n: 2, last: 'A' }, items: ['B', 'a'], next: 'a' },
    { name: 'the last, full', page: { n: 2, last: 'a' }, items: ['b', 'c'], next: undefined },
    { name: 'the last, not full', page: { n: 2, last: 'b' }, items: ['c'], next: undefined },
    { name: 'n=0 and no next', page: { n: 0 }, items: [], next: undefined },
    { name: 'n as large as the list', page: { n: 6 }, items: TAGS, next: undefined },
    { name: 'n larger than the list', page: { n: 1e9 }, items: TAGS, next: undefined },
    { name: 'all after last', page: { last: 'a' }, items: ['b', 'c'], next: undefined },
    { name: 'after a last that is gone', page: { n: 1, last: 'AA' }, items: ['B'], next: 'B' },
    { name: 'after a last before all', page: { n: 1, last: '' }, items: ['0.1'], next: '0.1' },
    { name: 'none after the last', page: { n: 1, last: 'c' }, items: [], next: undefined },
    { name: 'none beyond', page: { n: 1, last: 'z' }, items: [], next: undefined },
  ])('$name', ({ page, items, next }) => {
    const asked = { n: undefined, last: undefined, ...page }
    expect(takePage(TAGS, asked)).toEqual({ items, next })
  })

  it('of an empty list is empty', () => {
    expect(takePage([], { n: 5, last: 'x' })).toEqual({ items: [], next: undefined })
  })

  it.each([1, 2, 5, 6, 7])('pages of %i, followed, give each item once', (n) => {
    const seen: string[] = []
    let last: string | undefined
    do {
      const page = takePage(TAGS, { n, last })
      seen.push(...page.items)
      last = page.next
    } while (last !== undefined)
    expect(seen).toEqual(TAGS)
  })
})

it('compareASCII sorts capitals before small letters, prefixes first', () => {
  const sorted = ['b', '0.1.20', 'B', '0.1.2', '_', 'b', 'a', '-'].toSorted(compareASCII)
  expect(sorted).toEqual(['-', '0.1.2', '0.1.20', 'B', '_', 'a', 'b', 'b'])
})

describe('parseNextLink', () => {
  it.each([
    {
      name: 'what formatLink writes',
      header: formatLink('/v2/a/tags/list?n=1&last=b'),
      want: '/v2/a/tags/list?n=1&last=b',
    },
    {
      name: 'an absolute target',
      header: '<https://x.example/v2/>; rel="next"',
      want: 'https://x.example/v2/',
    },
    { name: 'no quotes', header: '</a>; rel=next', want: '/a' },
    { name: 'no space', header: '</a>;rel="next"', want: '/a' },
    { name: 'space all over', header: ' </a> ; rel = "next" ', want: '/a' },
    { name: 'odd case', header: '</a>; REL="Next"', want: '/a' },
    {
      name: 'other parameters before',
      header: '</a>; title="x; rel=\\"prev\\", y"; rel="next"',
      want: '/a',
    },
    { name: 'other parameters behind', header: '</a>; rel="next"; type=text/html', want: '/a' },
    { name: 'several relations', header: '</a>; rel="last next"', want: '/a' },
    { name: 'several links', header: '</a>; rel="prev", </b>; rel="next"', want: '/b' },
    {
      name: 'several next links, the first counts',
      header: '</a>; rel=next, </b>; rel=next',
      want: '/a',
    },
    { name: 'a comma in the target', header: '</a?x=1,2>; rel="next"', want: '/a?x=1,2' },
    { name: 'a semicolon in the target', header: '</a;b>; rel="next"', want: '/a;b' },
    { name: 'empty elements', header: ', ,</a>; rel="next",', want: '/a' },
    { name: 'an empty parameter', header: '</a>; ; rel="next"', want: '/a' },
    { name: 'a parameter without a value', header: '</a>; crossorigin; rel="next"', want: '/a' },
    { name: 'an empty target', header: '<>; rel="next"', want: '' },
  ])('reads $name', ({ header, want }) => {
    expect(parseNextLink(header)).toBe(want)
  })

  it.each([
    { name: 'no header', header: null },
    { name: 'an empty header', header: '' },
    { name: 'another relation', header: '</a>; rel="prev"' },
    { name: 'no relation', header: '</a>' },
    { name: 'a relation without a value', header: '</a>; rel' },
    { name: 'a second relation', header: '</a>; rel="prev"; rel="next"' },
    { name: 'a relation that begins like it', header: '</a>; rel="nextish"' },
    { name: 'a relation inside a title', header: '</a>; title="rel=next"' },
    { name: 'no brackets', header: '/a; rel="next"' },
    { name: 'an unclosed bracket', header: '</a; rel="next"' },
    { name: 'an unclosed quote', header: '</a>; rel="next' },
    { name: 'T119: 100 kB of brackets', header: '<'.repeat(100_000) },
    { name: 'T119: 100 kB of parameters', header: `</a>${'; a'.repeat(33_000)}` },
    { name: 'T119: 100 kB of quotes', header: `</a>${';a="'.repeat(25_000)}` },
    { name: 'T119: 100 kB of backslashes', header: `</a>; a="${'\\'.repeat(100_001)}"` },
    { name: 'T119: 100 kB of separators', header: `${', '.repeat(50_000)}x` },
  ])('finds none in $name', ({ header }) => {
    const start = performance.now()
    expect(parseNextLink(header)).toBeUndefined()
    expect(performance.now() - start).toBeLessThan(500)
  })
})
