// Descriptors of strangers: what passes, what is left out, what is refused.

import { expect, it } from 'vitest'

import { isAnnotations, isNonDistributable, parseDescriptor } from '../../src/oci/descriptor.ts'

const GOOD = { mediaType: 'application/x', digest: `sha256:${'0'.repeat(64)}`, size: 3 }

it.each([
  { name: 'the three members', value: GOOD },
  { name: 'the size of nothing', value: { ...GOOD, size: 0 } },
  { name: 'more than 4 GiB', value: { ...GOOD, size: 2 ** 40 } },
  { name: 'sha512', value: { ...GOOD, digest: `sha512:${'0'.repeat(128)}` } },
  { name: 'an algorithm that is unknown here', value: { ...GOOD, digest: 'sha384+b64u:Ab_-=' } },
  { name: 'an unknown media type', value: { ...GOOD, mediaType: '' } },
  { name: 'annotations', value: { ...GOOD, annotations: { a: '', 'b.c': 'd' } } },
  { name: 'an artifact type', value: { ...GOOD, artifactType: 'application/y' } },
  { name: 'unknown members', value: { ...GOOD, platform: { os: 'linux' }, data: 'e30=', x: 1 } },
  { name: 'urls of a foreign layer', value: { ...GOOD, urls: ['https://x.example/a'] } },
])('takes $name', ({ value }) => {
  expect(parseDescriptor(value)).toEqual(value)
})

it.each([
  { name: 'annotations that are no strings', value: { ...GOOD, annotations: { a: 1 } } },
  { name: 'annotations of null', value: { ...GOOD, annotations: null } },
  { name: 'annotations in a list', value: { ...GOOD, annotations: ['a'] } },
  { name: 'an artifact type that is no string', value: { ...GOOD, artifactType: 1 } },
])('leaves out $name', ({ value }) => {
  expect(parseDescriptor(value)).toEqual(GOOD)
})

it.each([
  { name: 'no value', value: undefined },
  { name: 'null', value: null },
  { name: 'a list', value: [GOOD] },
  { name: 'a string', value: GOOD.digest },
  { name: 'no media type', value: { digest: GOOD.digest, size: 3 } },
  { name: 'no digest', value: { mediaType: 'a', size: 3 } },
  { name: 'no size', value: { mediaType: 'a', digest: GOOD.digest } },
  { name: 'a digest that is no string', value: { ...GOOD, digest: 1 } },
  { name: 'a malformed digest', value: { ...GOOD, digest: 'sha256' } },
  { name: 'a sha256 digest of another length', value: { ...GOOD, digest: 'sha256:00' } },
  { name: 'a digest with a path', value: { ...GOOD, digest: 'md5:../x' } },
  { name: 'T115: a size of 2^62', value: { ...GOOD, size: 2 ** 62 } },
  { name: 'T115: a negative size', value: { ...GOOD, size: -1 } },
  { name: 'T115: a fraction', value: { ...GOOD, size: 1.5 } },
  { name: 'T115: a size in quotes', value: { ...GOOD, size: '3' } },
  { name: 'T119: 100 kB of algorithm', value: { ...GOOD, digest: 'a.'.repeat(50_000) } },
])('refuses $name', ({ value }) => {
  const start = performance.now()
  expect(parseDescriptor(value)).toBeUndefined()
  expect(performance.now() - start).toBeLessThan(500)
})

it('a key of a stranger cannot reach the prototype', () => {
  const text = `{"__proto__":{"polluted":1},${JSON.stringify(GOOD).slice(1)}`
  const descriptor = parseDescriptor(JSON.parse(text))
  expect(Object.getPrototypeOf(descriptor)).toBe(Object.prototype)
  expect(descriptor?.['polluted']).toBeUndefined()
})

it('annotations may be empty', () => {
  expect(isAnnotations({})).toBe(true)
})

it.each([
  { type: 'application/vnd.oci.image.layer.nondistributable.v1.tar', want: true },
  { type: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', want: true },
  { type: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', want: true },
  { type: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', want: true },
  { type: 'application/vnd.docker.image.rootfs.foreign.diff.tar', want: true },
  { type: 'Application/Vnd.OCI.Image.Layer.NonDistributable.v1.tar+gzip', want: true },
  { type: 'application/vnd.oci.image.layer.v1.tar+gzip', want: false },
  { type: 'application/vnd.docker.image.rootfs.diff.tar.gzip', want: false },
  { type: 'application/vnd.oci.image.layer.nondistributable', want: false },
  { type: 'x/application/vnd.oci.image.layer.nondistributable.v1.tar', want: false },
])('$type may be missing: $want', ({ type, want }) => {
  expect(isNonDistributable(type)).toBe(want)
})
