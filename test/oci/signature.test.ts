// Which referrers are signatures, as cosign and notation have written them over the years.

import { describe, expect, it } from 'vitest'
import { parseDigest } from '../../src/oci/digest.ts'
import { parseTag } from '../../src/oci/reference.ts'
import { cosignTags, isSignature } from '../../src/oci/signature.ts'

const PREDICATE = 'dev.sigstore.bundle.predicateType'
const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json'

function tagOf(suffix: string) {
  return parseTag(`sha256-${'a'.repeat(64)}${suffix}`)
}

describe('a signature', () => {
  it.each([
    { artifactType: 'application/vnd.cncf.notary.signature' },
    { artifactType: 'application/vnd.cncf.notary.v2.signature' },
    { artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json' },
    { artifactType: 'application/vnd.dev.cosign.simplesigning.v1+json' },
    { artifactType: BUNDLE },
    { artifactType: BUNDLE, annotations: { [PREDICATE]: 'https://sigstore.dev/cosign/sign/v1' } },
    { artifactType: 'application/vnd.oci.image.config.v1+json', tag: tagOf('.sig') },
    { tag: tagOf('.sig') },
  ])('is %j', (referrer) => {
    expect(isSignature(referrer)).toBe(true)
  })

  it.each([
    {},
    { artifactType: '' },
    { artifactType: 'application/spdx+json' },
    { artifactType: 'application/vnd.cncf.notary.signature.not' },
    { artifactType: 'application/vnd.oci.image.config.v1+json', tag: tagOf('.att') },
    { tag: tagOf('.sbom') },
    { artifactType: BUNDLE, annotations: { [PREDICATE]: 'https://slsa.dev/provenance/v1' } },
    { artifactType: 'application/vnd.in-toto+json', annotations: { a: 'signature' } },
  ])('is not %j', (referrer) => {
    expect(isSignature(referrer)).toBe(false)
  })
})

it('has a tag made of the digest, as has an attestation and a bill of materials', () => {
  const digest = parseDigest(`sha256:${'a'.repeat(64)}`) ?? expect.fail('no digest')
  expect(cosignTags(digest)).toEqual([tagOf('.sig'), tagOf('.att'), tagOf('.sbom')])
})

it('has a tag that is short enough for a long digest, too', () => {
  const digest = parseDigest(`sha512:${'a'.repeat(128)}`) ?? expect.fail('no digest')
  expect(cosignTags(digest)).toHaveLength(3)
})
