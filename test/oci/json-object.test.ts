// JSON objects whose text matters as much as their value.

import { describe, expect, it } from 'vitest'

import { parseJSONObject } from '../../src/oci/json-object.ts'

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

it.each([
  { name: 'an empty object', text: '{}', want: {} },
  {
    name: 'whitespace around',
    text: ' \n{"a": [1, {"b": null}]}\r\n',
    want: { a: [1, { b: null }] },
  },
])('reads $name', ({ text, want }) => {
  expect(parseJSONObject(encode(text))).toEqual({ members: want, repeatedKey: undefined })
})

it.each([
  { name: 'nothing', bytes: encode('') },
  { name: 'a list', bytes: encode('[{}]') },
  { name: 'null', bytes: encode('null') },
  { name: 'a string', bytes: encode('"{}"') },
  { name: 'a cut object', bytes: encode('{"a":') },
  { name: 'a trailing comma', bytes: encode('{"a":1,}') },
  { name: 'two objects', bytes: encode('{}{}') },
  { name: 'a comment', bytes: encode('{/**/}') },
  { name: 'HTML', bytes: encode('<!doctype html>') },
  { name: 'a byte order mark', bytes: encode('\ufeff{}') },
  { name: 'invalid UTF-8', bytes: new Uint8Array([...encode('{"a":"'), 0xff, ...encode('"}')]) },
  { name: 'UTF-16', bytes: new Uint8Array([0x7b, 0, 0x7d, 0]) },
])('refuses $name', ({ bytes }) => {
  expect(parseJSONObject(bytes)).toBeUndefined()
})

describe('repeatedKey', () => {
  it.each([
    { name: 'a key twice', text: '{"a":1,"b":2,"a":1}', want: 'a' },
    { name: 'the key at the end of a nested value', text: '{"a":{"x":[]},"a":1}', want: 'a' },
    { name: 'an escaped spelling', text: '{"a":1,"\\u0061":2}', want: 'a' },
    { name: 'whitespace before the colon', text: '{"a" \t\r\n:1,"a"\n:2}', want: 'a' },
    { name: 'an escaped quote in the key', text: '{"a\\"b":1,"a\\"b":2}', want: 'a"b' },
    { name: 'a backslash at the end of the key', text: '{"a\\\\":1,"a\\\\":2}', want: 'a\\' },
    { name: 'the empty key', text: '{"":1,"":2}', want: '' },
    { name: '__proto__', text: '{"__proto__":1,"__proto__":2}', want: '__proto__' },
  ])('finds $name', ({ text, want }) => {
    expect(parseJSONObject(encode(text))?.repeatedKey).toBe(want)
  })

  it.each([
    { name: 'a key of another case', text: '{"a":1,"A":2}' },
    { name: 'a nested key', text: '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}' },
    { name: 'a key repeated below the top', text: '{"a":{"b":1,"b":2}}' },
    { name: 'a value like a key', text: '{"a":"a","b":"a"}' },
    { name: 'a key inside a string', text: '{"a":"{\\"a\\":1,\\"a\\":2}"}' },
    { name: 'brackets inside strings', text: '{"a":"}{][","b":"\\\\","c":"\\\\\\"{"}' },
  ])('does not mistake $name', ({ text }) => {
    expect(parseJSONObject(encode(text))).toMatchObject({ repeatedKey: undefined })
  })
})

it.each([
  {
    name: 'T111: 4 MiB of nesting',
    text: '{"a":' + '['.repeat(2 ** 21) + ']'.repeat(2 ** 21) + '}',
  },
  { name: 'T119: 4 MiB of escaped quotes', text: `{"a":"${'\\"'.repeat(2 ** 21)}"}` },
  { name: 'T119: 4 MiB of backslashes', text: `{"a":"${'\\\\'.repeat(2 ** 21)}"}` },
  {
    name: 'T119: 300 000 keys',
    text: `{${Array.from({ length: 300_000 }, (_, index) => `"${index}":1`).join()}}`,
  },
])('is quick on $name', ({ text }) => {
  const start = performance.now()
  expect(() => parseJSONObject(encode(text))).not.toThrow()
  expect(performance.now() - start).toBeLessThan(2000)
})
