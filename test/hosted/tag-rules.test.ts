// Tags that stay as they are: immutable ones for everybody, every one for whoever may only create.

import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import type { ManifestPut, RepositoryLedger } from '../../src/hosted/ledger.ts'
import type { TagRules } from '../../src/hosted/tag-rules.ts'
import { keepLedger, manifestPut, store } from '../support/hosted-objects.ts'
import type { Uploaded } from '../support/hosted-objects.ts'
import { tag } from '../support/parsed.ts'

afterEach(() => reset())

const V1 = tag('v1')
const LATEST = tag('latest')
const MAY_PUSH: TagRules = { mayMove: true, immutable: ['v*'] }
const MAY_CREATE: TagRules = { mayMove: false, immutable: [] }

/** A blob that belongs to the repository. */
async function push(ledger: RepositoryLedger): Promise<Uploaded> {
  const blob = await store()
  await env.BLOB_CLAIMS.getByName(blob.digest).adopt(blob.content)
  await ledger.hold(blob.digest)
  return blob
}

const put = (tagRules: TagRules, changed: Partial<ManifestPut> = {}) =>
  manifestPut({}, { tagRules, ...changed })

describe('an immutable tag', () => {
  it('is made, pushed again as it is, and never moved, also beside others', async () => {
    await keepLedger('hosted/foo', async ({ ledger }) => {
      const first = await put(MAY_PUSH, { tags: [V1] })
      expect(await ledger.putManifest(first)).toEqual({ ok: true })
      expect(await ledger.putManifest(first)).toEqual({ ok: true })
      const second = await put(MAY_PUSH, { tags: [LATEST, V1] })
      expect(await ledger.putManifest(second)).toEqual({ ok: false, fixed: [V1] })
      expect(ledger.manifest({ kind: 'tag', tag: V1 })?.digest).toBe(first.digest)
      expect(ledger.manifest({ kind: 'tag', tag: LATEST })).toBeUndefined()
      expect(ledger.manifest({ kind: 'digest', digest: second.digest })).toBeUndefined()
    })
  })

  it('is not removed, nor is the manifest that it points at; others are', async () => {
    await keepLedger('hosted/foo', async ({ ledger }) => {
      const first = await put(MAY_PUSH, { tags: [V1, LATEST] })
      await ledger.putManifest(first)
      expect(ledger.deleteTag(V1, MAY_PUSH)).toBe('fixed')
      expect(await ledger.deleteManifest(first.digest, MAY_PUSH)).toBe('fixed')
      expect(ledger.manifest({ kind: 'tag', tag: V1 })?.digest).toBe(first.digest)
      expect(ledger.deleteTag(LATEST, MAY_PUSH)).toBe(true)
      expect(ledger.deleteTag(tag('v2'), MAY_PUSH)).toBe(false)
    })
  })
})

describe('what an immutable tag leads to', () => {
  it('stays whole: neither manifests nor blobs below it are removed, others are', async () => {
    await keepLedger('hosted/foo', async ({ ledger }) => {
      const [layer, other] = [await push(ledger), await push(ledger)]
      const image = await manifestPut({ blobs: [layer.digest] })
      await ledger.putManifest(image)
      const index = await manifestPut({ manifests: [image.digest] }, { tags: [V1] })
      await ledger.putManifest(index)
      expect(await ledger.deleteManifest(image.digest, MAY_PUSH)).toBe('fixed')
      expect(await ledger.deleteBlob(layer.digest, MAY_PUSH)).toBe('fixed')
      expect(await ledger.deleteBlob(other.digest, MAY_PUSH)).toBe(true)
      expect(ledger.blob(layer.digest, false)).toBeDefined()
    })
  })

  it.each([
    { name: 'who may push, behind an immutable tag', tag: V1, rules: MAY_PUSH, isFixed: true },
    { name: 'who may only create', tag: LATEST, rules: MAY_CREATE, isFixed: true },
    { name: 'who may push, behind another tag', tag: LATEST, rules: MAY_PUSH, isFixed: false },
  ])('is of the media type that it was: $name', async ({ tag: at, rules, isFixed }) => {
    await keepLedger('hosted/foo', async ({ ledger }) => {
      const first = await put(MAY_PUSH, { tags: [at] })
      await ledger.putManifest(first)
      const other = { ...first, mediaType: 'application/vnd.other+json', tags: [], tagRules: rules }
      const answer = isFixed ? { ok: false, fixed: [at] } : { ok: true }
      expect(await ledger.putManifest(other)).toEqual(answer)
      const { mediaType } = ledger.manifest({ kind: 'tag', tag: at }) ?? {}
      expect(mediaType).toBe(isFixed ? first.mediaType : other.mediaType)
    })
  })
})

describe('who may only create', () => {
  it('makes tags and pushes what they point at, but moves none', async () => {
    await keepLedger('hosted/foo', async ({ ledger }) => {
      const first = await put(MAY_CREATE, { tags: [LATEST] })
      expect(await ledger.putManifest(first)).toEqual({ ok: true })
      expect(await ledger.putManifest(first)).toEqual({ ok: true })
      const second = await put(MAY_CREATE, { tags: [LATEST] })
      expect(await ledger.putManifest(second)).toEqual({ ok: false, fixed: [LATEST] })
      expect(await ledger.putManifest({ ...second, tags: [V1] })).toEqual({ ok: true })
    })
  })

  it('has no way around it while another push makes the tag', async () => {
    await keepLedger('hosted/foo', async ({ ledger }) => {
      const [first, second] = [
        await put(MAY_CREATE, { tags: [LATEST] }),
        await put(MAY_CREATE, { tags: [LATEST] }),
      ]
      const answers = await Promise.all([ledger.putManifest(first), ledger.putManifest(second)])
      expect(answers.filter(({ ok }) => ok)).toHaveLength(1)
    })
  })
})
