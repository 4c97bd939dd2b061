// Texts of a test made into the values that the source takes; a text that is none fails the test.

import { expect } from 'vitest'
import type { Digest } from '../../src/oci/digest.ts'
import { parseDigest } from '../../src/oci/digest.ts'
import type { Reference, Tag } from '../../src/oci/reference.ts'
import { parseReference, parseTag } from '../../src/oci/reference.ts'
import type { RepositoryName } from '../../src/oci/repository-name.ts'
import { parseRepositoryName } from '../../src/oci/repository-name.ts'

/** The repository of that name. */
export function repository(text: string): RepositoryName {
  return parseRepositoryName(text) ?? expect.fail(`no repository name: ${text}`)
}

/** The tag. */
export function tag(text: string): Tag {
  return parseTag(text) ?? expect.fail(`no tag: ${text}`)
}

/** The tag or digest. */
export function reference(text: string): Reference {
  return parseReference(text) ?? expect.fail(`no reference: ${text}`)
}

/** A sha256 digest that ends with this text, of hexadecimal figures. */
export function digest(text: string): Digest {
  return parseDigest(`sha256:${text.padStart(64, '0')}`) ?? expect.fail(`no digest: ${text}`)
}
