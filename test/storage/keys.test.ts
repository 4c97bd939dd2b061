// The layout: which key each thing has, and that no two things share one, whatever they are called.

import { describe, expect, it } from 'vitest'
import type { Digest } from '../../src/oci/digest.ts'
import { digestOf } from '../../src/oci/digest.ts'
import {
  canonicalName,
  manifestHintKey,
  markerKey,
  mirroredBlobKey,
  mirroredManifestKey,
  parseCanonicalName,
  parseMirroredKey,
  privateBlobPrefix,
  mirroredManifestPrefix,
  segmentKey,
  segmentPrefix,
  tagHintKey,
} from '../../src/storage/keys.ts'
import type { MirroredName } from '../../src/storage/keys.ts'
import { repository, tag } from '../support/parsed.ts'

const HEX = 'a'.repeat(64)
const SHA256 = `sha256:${HEX}` as Digest
const SHA512 = `sha512:${'b'.repeat(128)}` as Digest

function named(text: string, host = 'one.test'): MirroredName {
  return { host, repository: repository(text) }
}

describe('the key', () => {
  const name = named('team/app')
  it.each([
    {
      of: 'a blob that is public',
      key: mirroredBlobKey(name, false, SHA256),
      want: `mirror/one.test/blobs/sha256/${HEX}`,
    },
    {
      of: 'a blob that is private',
      key: mirroredBlobKey(name, true, SHA256),
      want: `mirror/one.test/private/team/app/blobs/sha256/${HEX}`,
    },
    {
      of: 'a blob by sha512',
      key: mirroredBlobKey(name, false, SHA512),
      want: `mirror/one.test/blobs/sha512/${'b'.repeat(128)}`,
    },
    {
      of: 'a manifest',
      key: mirroredManifestKey(name, SHA256),
      want: `mirror/one.test/manifests/team/app/sha256/${HEX}`,
    },
    { of: 'a segment', key: segmentKey('id', 0), want: 'fills/id/0' },
    { of: 'all segments', key: segmentPrefix('id'), want: 'fills/id/' },
    {
      of: 'a marker',
      key: markerKey('mirrored', canonicalName(name)),
      want: 'repositories/mirrored/one.test/team/app',
    },
  ])('of $of', ({ key, want }) => {
    expect(key).toBe(want)
  })

  it('of a hint names the tag or the digest', async () => {
    expect(await tagHintKey(name, tag('V1.0_x'))).toBe('tag/one.test/team/app:V1.0_x')
    expect(await manifestHintKey(name, SHA256)).toBe(`manifest/one.test/team/app@${SHA256}`)
  })
})

/** Names made of the words of the layout, and prefixes of each other. */
const NASTY = [
  'a',
  'b',
  'a/b',
  'blobs',
  'private',
  'manifests',
  'sha256',
  `sha256/${HEX}`,
  'a/blobs',
  'a/manifests',
  `a/blobs/sha256/${HEX}`,
  `a/sha256/${HEX}`,
  `blobs/sha256/${HEX}`,
  'private/a',
  'private/a/blobs',
  'private/blobs',
  'manifests/a',
  'manifests/a/sha256',
  'blobs/blobs',
  'tag',
  'hashed',
  `hashed/${HEX}`,
]

describe('no two things share a key', () => {
  const names = ['one.test', 'two.test', 'blobs', 'private', 'one.test:5000', 'a'].flatMap((host) =>
    NASTY.map((text) => named(text, host)),
  )
  const digests = [SHA256, SHA512, `sha256:${'b'.repeat(64)}` as Digest]

  it('in R2', () => {
    const hosts = new Set(names.map(({ host }) => host))
    const keys = names.flatMap((name) => [
      ...digests.flatMap((digest) => [
        mirroredBlobKey(name, true, digest),
        mirroredManifestKey(name, digest),
      ]),
      markerKey('mirrored', canonicalName(name)),
      markerKey('hosted', canonicalName(name)),
    ])
    const shared = digests.flatMap((digest) =>
      [...hosts].map((host) => mirroredBlobKey(named('a', host), false, digest)),
    )
    const all = [...keys, ...shared]
    expect(new Set(all).size).toBe(all.length)
  })

  it('in KV', async () => {
    const keys = await Promise.all(
      names.flatMap((name) => [
        ...digests.map((digest) => manifestHintKey(name, digest)),
        ...['a', 'b', 'latest', HEX].map((text) => tagHintKey(name, tag(text))),
      ]),
    )
    expect(new Set(keys).size).toBe(keys.length)
  })

  it('but all repositories of a host share its public blobs', () => {
    expect(mirroredBlobKey(named('a'), false, SHA256)).toBe(
      mirroredBlobKey(named('b/c'), false, SHA256),
    )
  })

  it('and the listing of one fill is not that of another', () => {
    expect(segmentKey('id1', 0).startsWith(segmentPrefix('id'))).toBe(false)
    expect(segmentKey('id', 10)).not.toBe(segmentKey('id', 1))
  })
})

describe('the longest names', () => {
  const label = 'h'.repeat(63)
  const host = `${label}.${label}.${label}.${'h'.repeat(61)}:65535`
  const name = named(`${'r'.repeat(127)}/${'r'.repeat(127)}`, host)

  it('fit into keys of R2 (1024 bytes)', () => {
    const keys = [
      mirroredBlobKey(name, true, SHA512),
      mirroredManifestKey(name, SHA512),
      markerKey('mirrored', canonicalName(name)),
    ]
    for (const key of keys) expect(new TextEncoder().encode(key).byteLength).toBeLessThan(1024)
  })

  it('are hashed in keys of KV (512 bytes), each to its own', async () => {
    const keys = await Promise.all([
      tagHintKey(name, tag('t'.repeat(128))),
      tagHintKey(name, tag(`${'t'.repeat(127)}u`)),
      tagHintKey({ ...name, host: `g${host.slice(1)}` }, tag('t'.repeat(128))),
      manifestHintKey(name, SHA512),
    ])
    expect(new Set(keys).size).toBe(4)
    for (const key of keys) expect(key).toMatch(/^hashed\/[0-9a-f]{64}$/)
    const [first] = keys
    const text = `tag/${canonicalName(name)}:${'t'.repeat(128)}`
    expect(first).toBe(`hashed/${(await digestOf(new TextEncoder().encode(text))).slice(7)}`)
  })

  it.each([
    { length: 512, isHashed: false },
    { length: 513, isHashed: true },
  ])('of $length bytes: hashed $isHashed', async ({ length, isHashed }) => {
    const rest = 'tag/'.length + `/${'r'.repeat(255)}:${'t'.repeat(128)}`.length
    const longHost = 'h'.repeat(length - rest)
    const longest = named('r'.repeat(255), longHost)
    const key = await tagHintKey(longest, tag('t'.repeat(128)))
    expect(key.startsWith('hashed/')).toBe(isHashed)
    expect(key.length).toBeLessThanOrEqual(512)
  })
})

describe('a key below mirror/', () => {
  const names = ['app', 'team/app', 'blobs', 'private/app', 'a/blobs/b', 'manifests/x/blobs']

  it.each(names)('of %s says what it holds, whatever the repository is called', (text) => {
    for (const digest of [SHA256, SHA512]) {
      const name = named(text, 'one.test:5000')
      const { host } = name
      const read = (key: string) => parseMirroredKey(key)
      const none = { host, repository: undefined, digest }
      expect(read(mirroredBlobKey(name, false, digest))).toEqual({ kind: 'blob', ...none })
      const own = { host, repository: name.repository, digest }
      const closed = mirroredBlobKey(name, true, digest)
      expect(read(closed)).toEqual({ kind: 'blob', ...own })
      expect(closed.startsWith(privateBlobPrefix(name))).toBe(true)
      const manifest = mirroredManifestKey(name, digest)
      expect(read(manifest)).toEqual({ kind: 'manifest', ...own })
      expect(manifest.startsWith(mirroredManifestPrefix(name))).toBe(true)
    }
  })

  it.each([
    '',
    'mirror/',
    `mirror/one.test/${HEX}`,
    `mirror/one.test/blobs/sha256/${HEX}0`,
    `mirror/one.test/blobs/md5/${HEX}`,
    `mirror/one.test/private/blobs/sha256/${HEX}`,
    `mirror/one.test/manifests/sha256/${HEX}`,
    `mirror/one.test/manifests/UPPER/sha256/${HEX}`,
    `hosted/manifests/app/sha256/${HEX}`,
    `x/mirror/one.test/blobs/sha256/${HEX}`,
  ])('%s is none', (key) => {
    expect(parseMirroredKey(key)).toBeUndefined()
  })
})

describe('a canonical name', () => {
  it('is taken apart at its host', () => {
    const name = named('team/app', 'one.test:5000')
    expect(parseCanonicalName(canonicalName(name))).toEqual(name)
    for (const none of ['', 'app', '/app', 'one.test/', 'one.test/App']) {
      expect(parseCanonicalName(none)).toBeUndefined()
    }
  })
})
