// The grammar of repository names, row by row.

import { expect, it } from 'vitest'

import { parseRepositoryName } from '../../src/oci/repository-name.ts'

it.each([
  { name: 'one component', text: 'nginx' },
  { name: 'one character', text: 'a' },
  { name: 'digits only', text: '0/1' },
  { name: 'many components', text: 'a/b/c/d/e/f' },
  { name: 'a dot', text: 'a.b/c.d' },
  { name: 'one underscore', text: 'a_b' },
  { name: 'two underscores', text: 'a__b' },
  { name: 'a run of hyphens', text: 'a-----b' },
  { name: 'all separators', text: 'a.b_c__d---e' },
  { name: 'T094: components that are words of the API', text: 'blobs/uploads/manifests/tags/list' },
  { name: '255 characters', text: 'a'.repeat(255) },
])('T093: takes $name', ({ text }) => {
  expect(parseRepositoryName(text)).toBe(text)
})

it.each([
  { name: 'the empty name', text: '' },
  { name: 'upper case', text: 'Library/nginx' },
  { name: 'a leading separator', text: '-a' },
  { name: 'a trailing separator', text: 'a_' },
  { name: 'two dots', text: 'a..b' },
  { name: 'three underscores', text: 'a___b' },
  { name: 'mixed separators', text: 'a._b' },
  { name: 'a component of dots', text: 'a/../b' },
  { name: 'an empty component', text: 'a//b' },
  { name: 'a leading slash', text: '/a' },
  { name: 'a trailing slash', text: 'a/' },
  { name: 'a colon', text: 'localhost:5000/a' },
  { name: 'a percent sign', text: 'a%2fb' },
  { name: 'NUL', text: 'a\0' },
  { name: 'a newline at the end', text: 'a\n' },
  { name: 'a space', text: 'a b' },
  { name: 'a letter beyond ASCII', text: 'caf\u00e9' },
  { name: 'an emoji', text: '\u{1f433}' },
  { name: 'the extension prefix', text: '_catalog' },
  { name: '256 characters', text: 'a'.repeat(256) },
])('T093: refuses $name', ({ text }) => {
  expect(parseRepositoryName(text)).toBeUndefined()
})

it.each([
  { name: 'a run of hyphens', text: `${'-'.repeat(254)}/` },
  { name: 'alternating separators', text: `${'a-'.repeat(127)}!` },
  { name: '100 kB', text: `${'a_'.repeat(50_000)}!` },
])('T119: is quick on $name', ({ text }) => {
  const start = performance.now()
  expect(parseRepositoryName(text)).toBeUndefined()
  expect(performance.now() - start).toBeLessThan(500)
})
