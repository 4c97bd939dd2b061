// Images as people write them.

import { describe, expect, it } from 'vitest'
import { parseImageName } from '../../src/oci/image-name.ts'
import { formatReference } from '../../src/oci/reference.ts'

const SHA256 = `sha256:${'a'.repeat(64)}`
const SHA512 = `sha512:${'b'.repeat(128)}`

describe('an image', () => {
  it.each([
    ['nginx', 'nginx', undefined],
    ['nginx:1.29', 'nginx', '1.29'],
    ['docker.io/library/nginx', 'docker.io/library/nginx', undefined],
    ['docker.io/library/nginx:1.29', 'docker.io/library/nginx', '1.29'],
    [`docker.io/library/nginx@${SHA256}`, 'docker.io/library/nginx', SHA256],
    [`docker.io/library/nginx:1.29@${SHA512}`, 'docker.io/library/nginx', SHA512],
    ['localhost:5000/a/b', 'localhost:5000/a/b', undefined],
    ['localhost:5000/a/b:v1', 'localhost:5000/a/b', 'v1'],
    [`localhost:5000/a/b@${SHA256}`, 'localhost:5000/a/b', SHA256],
    [`a/b:sha256-${'a'.repeat(64)}.sig`, 'a/b', `sha256-${'a'.repeat(64)}.sig`],
  ])('%s is a name and a reference', (text, name, reference) => {
    const parsed = parseImageName(text)
    expect(parsed?.name).toBe(name)
    expect(parsed?.reference && formatReference(parsed.reference)).toBe(reference)
  })

  it.each([
    '',
    ':v1',
    `@${SHA256}`,
    'a:',
    'a:.v1',
    'a:v1:v2',
    'a:v 1',
    `a:${'x'.repeat(129)}`,
    'a@',
    'a@v1',
    'a@sha256:abc',
    `a@${SHA256.toUpperCase()}`,
    `a@${SHA256}@${SHA256}`,
    `a@${SHA256}:v1`,
  ])('%j is none', (text) => {
    expect(parseImageName(text)).toBeUndefined()
  })
})
