// Header names are each spelled once.

import { expect, it } from 'vitest'

import { HEADER } from '../../src/oci/header.ts'

it('names every header field once, in characters that a field name may have', () => {
  const names = Object.values(HEADER)
  expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(names.length)
  expect(names.filter((name) => !/^[A-Za-z]+(-[A-Za-z]+)*$/.test(name))).toEqual([])
})

it('cannot be changed', () => {
  expect(Object.isFrozen(HEADER)).toBe(true)
})
