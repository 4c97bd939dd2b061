// The rows of a repository on real SQLite: what is written is read back, and reading writes nothing.

import { reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { sampleArtifact, sampleImage } from '../../cli/sample-image.ts'
import { Records } from '../../src/mirror/records.ts'
import { Rows } from '../../src/mirror/rows.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { inspectManifest } from '../../src/oci/manifest.ts'
import type { FetchedManifest, Manifest } from '../../src/upstream/manifests.ts'
import { tag } from '../support/parsed.ts'

afterEach(() => reset())

/** Runs in an object of its own. */
function inObject<Value>(run: (records: Records, sql: SqlStorage) => Value): Promise<Value> {
  const ledger = env.MIRROR_LEDGER.getByName('records.test/a')
  return runInDurableObject(ledger, (_, { storage }) =>
    run(new Records(new Rows(storage)), storage.sql),
  )
}

function fetched(manifest: Manifest): FetchedManifest {
  const document = inspectManifest(manifest.bytes, manifest.mediaType)
  if (!document.ok) throw new Error(document.reason)
  return { ...manifest, document }
}

const digest = `sha256:${'a'.repeat(64)}` as Digest
const other = `sha256:${'b'.repeat(64)}` as Digest
const V1 = tag('v1')

describe('an empty repository', () => {
  it('is empty, and asking makes no table', async () => {
    const tables = await inObject((records, sql) => {
      expect(records.isEmpty).toBe(true)
      expect(records.tag(V1)).toBeUndefined()
      expect(records.manifest(digest)).toBeUndefined()
      expect(records.size(digest)).toBeUndefined()
      expect(records.tags()).toEqual([])
      expect(records.referrers(digest)).toEqual([])
      records.deleteTag(V1)
      records.tryTag(V1, 'why', 1)
      records.hintTag(V1, digest, 1)
      records.hintManifest(digest, 1)
      expect(records.isEmpty).toBe(true)
      return sql.exec(`SELECT name FROM sqlite_master WHERE name IN ('tags', 'schema')`).toArray()
    })
    expect(tables).toEqual([])
  })
})

describe('tags', () => {
  it('are guesses until they are verified, and again when they are guessed anew', async () => {
    await inObject((records) => {
      records.guessTag(V1, digest, { now: 100, failure: 'why' })
      const guess = { digest, isGuess: true, verifiedAt: 100, triedAt: 100, failure: 'why' }
      expect(records.tag(V1)).toMatchObject({ ...guess, hintedDigest: null })
      records.tryTag(V1, 'still', 200)
      expect(records.tag(V1)).toMatchObject({ ...guess, triedAt: 200, failure: 'still' })
      records.verifyTag(V1, digest, 300)
      expect(records.tag(V1)).toMatchObject({ isGuess: false, verifiedAt: 300, failure: null })
      records.guessTag(V1, other, { now: 400, failure: 'why' })
      expect(records.tag(V1)).toMatchObject({
        ...guess,
        digest: other,
        verifiedAt: 400,
        triedAt: 400,
      })
    })
  })

  it('keep both clocks and the reason of the last failure', async () => {
    await inObject((records) => {
      records.verifyTag(V1, digest, 100)
      expect(records.tag(V1)).toEqual({
        digest,
        verifiedAt: 100,
        triedAt: 100,
        isGuess: false,
        failure: null,
        hintedDigest: null,
        hintedAt: 0,
      })
      records.hintTag(V1, digest, 110)
      records.tryTag(V1, 'why', 200)
      expect(records.tag(V1)).toMatchObject({ verifiedAt: 100, triedAt: 200, failure: 'why' })
      records.verifyTag(V1, other, 300)
      expect(records.tag(V1)).toEqual({
        digest: other,
        verifiedAt: 300,
        triedAt: 300,
        isGuess: false,
        failure: null,
        hintedDigest: digest,
        hintedAt: 110,
      })
    })
  })

  it('are listed in ASCII order and deleted one by one', async () => {
    await inObject((records) => {
      for (const name of ['b', 'a.b', 'Z', 'a', '_', '0']) records.verifyTag(tag(name), digest, 1)
      expect(records.tags()).toEqual(['0', 'Z', '_', 'a', 'a.b', 'b'])
      records.deleteTag(tag('a'))
      expect(records.tags()).toEqual(['0', 'Z', '_', 'a.b', 'b'])
      expect(records.isEmpty).toBe(false)
    })
  })

  it('a failure of a tag that is not known makes no row', async () => {
    await inObject((records) => {
      records.verifyTag(V1, digest, 1)
      records.tryTag(tag('v2'), 'why', 2)
      expect(records.tags()).toEqual(['v1'])
    })
  })
})

describe('manifests', () => {
  it('keep their type, the sizes that they state, and when KV was told', async () => {
    const image = await sampleImage({ layers: [100, 5000] })
    await inObject((records) => {
      records.putManifest(fetched(image), 1)
      expect(records.manifest(image.digest)).toEqual({ mediaType: image.mediaType, hintedAt: 0 })
      for (const blob of image.blobs) expect(records.size(blob.digest)).toBe(blob.bytes.length)
      records.hintManifest(image.digest, 7)
      records.putManifest(fetched(image), 1)
      expect(records.manifest(image.digest)?.hintedAt).toBe(7)
      expect(records.referrers(image.digest)).toEqual([])
    })
  })

  it('are found as referrers of their subject', async () => {
    const image = await sampleImage()
    const subject = image.descriptor
    const artifact = await sampleArtifact({
      subject,
      artifactType: 'a/sig',
      annotations: { k: 'v' },
    })
    await inObject((records) => {
      records.putManifest(fetched(artifact), 1)
      records.putManifest(fetched(artifact), 1)
      expect(records.referrers(image.digest)).toEqual([
        { ...artifact.descriptor, artifactType: 'a/sig', annotations: { k: 'v' } },
      ])
    })
  })

  it.each([
    ['application/vnd.oci.image.manifest.v1+json', 'manifest'],
    ['application/vnd.oci.image.index.v1+json', 'manifest'],
    ['application/vnd.docker.distribution.manifest.v2+json', 'manifest'],
    ['application/vnd.docker.distribution.manifest.list.v2+json', 'manifest'],
    ['application/vnd.example.tool.v1+json', 'manifest'],
    ['application/vnd.oci.image.layer.v1.tar+gzip', 'blob'],
    ['application/vnd.oci.image.layer.v1.tar', 'blob'],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', 'blob'],
    ['application/vnd.oci.image.config.v1+json', 'blob'],
    ['application/vnd.oci.empty.v1+json', 'blob'],
    ['application/vnd.docker.image.rootfs.diff.tar.gzip', 'blob'],
    ['application/vnd.docker.container.image.v1+json', 'blob'],
    ['application/vnd.buildkit.cacheconfig.v0', 'blob'],
    ['application/vnd.cncf.helm.chart.content.layer.v1+json', 'blob'],
  ])('of an index name what its type says: %s is a %s', async (mediaType, kind) => {
    const manifests = [{ mediaType, digest: other, size: 9 }]
    const own = 'application/vnd.oci.image.index.v1+json'
    const bytes = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, manifests }))
    const rows = await inObject((records, sql) => {
      records.putManifest(fetched({ digest, mediaType: own, bytes }), 1)
      return sql.exec('SELECT digest, kind FROM children').toArray()
    })
    expect(rows).toEqual([{ digest: other, kind }])
  })

  it('name a hostile number of blobs only so far', async () => {
    const layers = Array.from({ length: 5000 }, (_, n) => ({
      mediaType: 'a/b',
      digest: `sha256:${String(n).padStart(64, '0')}`,
      size: n,
    }))
    const text = JSON.stringify({ schemaVersion: 2, layers, mediaType: 'application/vnd.x+json' })
    const bytes = new TextEncoder().encode(text)
    const rows = await inObject((records, sql) => {
      records.putManifest(fetched({ digest, mediaType: 'application/vnd.x+json', bytes }), 1)
      return sql.exec('SELECT count(*) AS n FROM children').one()['n']
    })
    expect(rows).toBe(4096)
  })
})
