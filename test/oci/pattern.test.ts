// Patterns over repository names, tags and any other text.

import { describe, expect, it } from 'vitest'

import { parsePattern, parseTagPattern, parseTextPattern } from '../../src/oci/pattern.ts'

describe('parsePattern', () => {
  it.each([
    { text: 'library/nginx', name: 'library/nginx', want: true },
    { text: 'library/nginx', name: 'library/nginx2', want: false },
    { text: 'library/nginx', name: 'docker.io/library/nginx', want: false },
    { text: 'a.c', name: 'abc', want: false },
    { text: '*', name: 'nginx', want: true },
    { text: '*', name: 'library/nginx', want: false },
    { text: 'library/*', name: 'library/nginx', want: true },
    { text: 'library/*', name: 'library', want: false },
    { text: 'library/*', name: 'library/a/b', want: false },
    { text: 'team-*/app', name: 'team-/app', want: true },
    { text: 'team-*/app', name: 'team-blue/app', want: true },
    { text: 'team-*/app', name: 'team/app', want: false },
    { text: '*-test', name: 'a-test', want: true },
    { text: '*-test', name: 'a-test-b', want: false },
    { text: 'a*b*c', name: 'abxbxc', want: true },
    { text: 'a*b*c', name: 'acxb', want: false },
    { text: 'a*', name: 'a', want: true },
    { text: '**', name: 'a', want: true },
    { text: '**', name: 'a/b/c', want: true },
    { text: 'hosted/**', name: 'hosted/a', want: true },
    { text: 'hosted/**', name: 'hosted/a/b', want: true },
    { text: 'hosted/**', name: 'hosted', want: false },
    { text: 'hosted/**', name: 'hosted-not/a', want: false },
    { text: 'hosted/**', name: 'x/hosted/a', want: false },
    { text: 'a/**/b', name: 'a/b', want: true },
    { text: 'a/**/b', name: 'a/x/b', want: true },
    { text: 'a/**/b', name: 'a/x/y/b', want: true },
    { text: 'a/**/b', name: 'a/x/b/c', want: false },
    { text: 'a/**/b', name: 'ab', want: false },
    { text: '**/b', name: 'b', want: true },
    { text: '**/b', name: 'a/a/b', want: true },
    { text: '**/b', name: 'a/ab', want: false },
    { text: '**/a/**', name: 'a', want: false },
    { text: '**/a/**', name: 'x/a/y', want: true },
    { text: 'a/**/**', name: 'a/b', want: true },
    { text: 'a/**/**', name: 'a', want: false },
    { text: '**/x-*/**/y', name: 'a/x-1/x-2/b/y', want: true },
    { text: 'localhost:5000/**', name: 'localhost:5000/a', want: true },
    { text: 'ghcr.io/**', name: 'ghcr.io.evil/a', want: false },
  ])('$text on $name: $want', ({ text, name, want }) => {
    const pattern = parsePattern(text)
    expect(pattern?.text).toBe(text)
    expect(pattern?.matches(name)).toBe(want)
  })

  it.each([
    { name: 'no text', text: '' },
    { name: 'upper case', text: 'Library/*' },
    { name: 'a negation', text: '!a' },
    { name: 'a question mark', text: 'a?' },
    { name: 'braces', text: '{a,b}' },
    { name: 'a regular expression', text: '^a.*$' },
    { name: 'whitespace', text: 'a b' },
    { name: 'an empty component', text: 'a//b' },
    { name: 'a leading slash', text: '/a' },
    { name: 'a trailing slash', text: 'a/' },
    { name: 'two stars beside other characters', text: 'a/b**' },
    { name: 'three stars', text: '***' },
  ])('refuses $name', ({ text }) => {
    expect(parsePattern(text)).toBeUndefined()
  })

  it.each([
    { name: 'stars in a component', text: `${'a*'.repeat(5000)}b`, input: 'a'.repeat(255) },
    { name: 'double stars', text: `${'**/a/'.repeat(5000)}b`, input: `${'a/'.repeat(127)}a` },
    {
      name: 'both',
      text: `${'**/a*a*b/'.repeat(500)}b`,
      input: Array.from({ length: 25 }, () => 'aaaaaaaaa').join('/'),
    },
  ])('T119: is quick on $name', ({ text, input }) => {
    const start = performance.now()
    expect(parsePattern(text)?.matches(input)).toBe(false)
    expect(performance.now() - start).toBeLessThan(500)
  })
})

describe('parseTagPattern', () => {
  it.each([
    { text: 'latest', tag: 'latest', want: true },
    { text: 'latest', tag: 'latest2', want: false },
    { text: '*', tag: 'V1.0', want: true },
    { text: 'v*.0', tag: 'v1.2.0', want: true },
    { text: 'v*.0', tag: 'V1.2.0', want: false },
    { text: '*-rc*', tag: '1.0-rc1', want: true },
  ])('$text on $tag: $want', ({ text, tag, want }) => {
    expect(parseTagPattern(text)?.matches(tag)).toBe(want)
  })

  it.each([{ text: '' }, { text: 'a/b' }, { text: '**' }, { text: 'a:b' }, { text: 'a+b' }])(
    'refuses "$text"',
    ({ text }) => {
      expect(parseTagPattern(text)).toBeUndefined()
    },
  )
})

describe('parseTextPattern', () => {
  it.each([
    { text: 'registry.test', other: 'registry.test', want: true },
    { text: 'registry.test', other: 'registryxtest', want: false },
    { text: 'Registry.TEST', other: 'registry.test', want: true },
    { text: 'registry.test', other: 'REGISTRY.Test', want: true },
    { text: '*.test', other: 'a.b.test', want: true },
    { text: '*.test', other: '.test', want: true },
    { text: '*.test', other: 'a.test.evil', want: false },
    { text: 'docker/*', other: 'docker/29.5.3 go/go1.26 (linux)', want: true },
    { text: 'docker/*', other: 'moby docker/29', want: false },
    { text: '*docker/*', other: 'moby docker/29', want: true },
    { text: '*(linux*', other: 'docker/29 (Linux; amd64)', want: true },
    { text: 'a**b', other: 'ab', want: true },
    { text: '*', other: '', want: true },
    { text: 'a', other: '', want: false },
    { text: '[::1]', other: '[::1]', want: true },
    { text: '^a.*$', other: 'ab', want: false },
  ])('$text on "$other": $want', ({ text, other, want }) => {
    const pattern = parseTextPattern(text)
    expect(pattern.text).toBe(text)
    expect(pattern.matches(other)).toBe(want)
  })

  it('T119: is quick on stars', () => {
    const start = performance.now()
    expect(parseTextPattern(`${'a*'.repeat(5000)}b`).matches('a'.repeat(2000))).toBe(false)
    expect(performance.now() - start).toBeLessThan(500)
  })
})
