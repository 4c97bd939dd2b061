// Mirrored or hosted is decided by the address alone, and neither stands in for the other.

import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config.ts'
import type { MirroredRepository } from '../../src/mirror/repository.ts'
import { resolveAddress } from '../../src/oci/address.ts'
import { parseDigest } from '../../src/oci/digest.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { RegistryError } from '../../src/oci/error.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import { open } from '../../src/registry/open.ts'
import { asRepository } from '../../src/registry/repository.ts'

const config = parseConfig({ UPSTREAMS: { 'docker.io': {} }, HOSTED: ['hosted/**', '**/app'] })

/** The repository that would be opened, or the code of the refusal. */
function opened(name: string, upstreams = config.upstreams): string {
  const tried: string[] = []
  const note = (what: string) => {
    tried.push(what)
    throw new RegistryError('UNKNOWN', { message: 'far enough' })
  }
  try {
    const address = resolveAddress({ name, base: undefined, ns: [] }, config.table)
    open(address, {
      upstreams,
      mirrored: (upstream, { host, repository }) => note(`${upstream.url} ${host} ${repository}`),
      hosted: (repository) => note(`hosted ${repository}`),
    })
    return 'opened'
  } catch (error) {
    return tried.join() || (error instanceof RegistryError ? error.code : String(error))
  }
}

it.each([
  { name: 'nginx', want: 'https://registry-1.docker.io docker.io library/nginx' },
  { name: 'index.docker.io/a/b', want: 'https://registry-1.docker.io docker.io a/b' },
  { name: 'hosted/app', want: 'hosted hosted/app' },
  { name: 'T018: a/app', want: 'hosted a/app' },
  { name: 'T018: docker.io/app', want: 'https://registry-1.docker.io docker.io library/app' },
  { name: 'T018: docker.io/hosted/app', want: 'https://registry-1.docker.io docker.io hosted/app' },
])('$name: $want', ({ name, want }) => {
  expect(opened(name.replace('T018: ', ''))).toBe(want)
})

it('knows no repository of an upstream that is not configured', () => {
  expect(opened('nginx', new Map())).toBe('NAME_UNKNOWN')
})

describe('the referrers of a mirror', () => {
  const digests = ['a', 'b', 'c'].map((hex): Digest => {
    return parseDigest(`sha256:${hex.repeat(64)}`) ?? expect.fail(hex)
  })
  const [subject = expect.fail()] = digests
  const items = digests.map((digest) => ({
    mediaType: MEDIA_TYPE.OCI_MANIFEST,
    digest,
    size: 1,
    artifactType: digest === subject ? 'a/b' : 'c/d',
  }))

  function mirror(answer: Awaited<ReturnType<MirroredRepository['referrers']>>) {
    // Of a mirror only its referrers are asked here.
    return asRepository({ referrers: async () => answer } as unknown as MirroredRepository)
  }

  it.each([
    { name: 'all', page: { artifactTypes: [], last: undefined }, want: digests },
    {
      name: 'of a type',
      page: { artifactTypes: ['c/d'], last: undefined },
      want: digests.slice(1),
    },
    { name: 'after one', page: { artifactTypes: [], last: digests[1] }, want: digests.slice(2) },
  ])('come in pages, with how they were come by: $name', async ({ page, want }) => {
    const how = { next: undefined, outcome: 'stale', warning: 'old' } as const
    const answer = await mirror({ ok: true, items: items.toReversed(), ...how }).referrers(
      subject,
      page,
    )
    expect(answer).toEqual({
      ok: true,
      ...how,
      items: items.filter(({ digest }) => want.includes(digest)),
    })
  })

  it('are a failure where the upstream failed', async () => {
    const failure = { ok: false, failure: { kind: 'not-found' } } as const
    const page = { artifactTypes: [], last: undefined }
    expect(await mirror(failure).referrers(subject, page)).toBe(failure)
  })
})
