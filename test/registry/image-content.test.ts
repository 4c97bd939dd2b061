// What one manifest is made of, over a store that is made up: how much of an index is read for one page, whatever it says
// of the sizes of its manifests.

import { describe, expect, it } from 'vitest'
import { ImageContent } from '../../src/registry/image-content.ts'
import type { ContentStore } from '../../src/registry/image-content.ts'

const KIB = 1024
const MIB = 1024 * KIB
const INDEX = 'application/vnd.oci.image.index.v1+json'
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'

function digestOf(number: number): string {
  return `sha256:${number.toString(16).padStart(64, '0')}`
}

/** A manifest of that length with so many layers of one byte. */
function manifestOf(length: number, layers = 1, first = 0): Uint8Array {
  const document = {
    schemaVersion: 2,
    layers: Array.from({ length: layers }, (_, index) => {
      return { mediaType: LAYER, digest: digestOf(1_000_000 + first + index), size: 1 }
    }),
  }
  return new TextEncoder().encode(JSON.stringify(document).padEnd(length))
}

/** An index of these manifests, all of which are here; `stated` is what it says of their sizes. */
function world(children: readonly Uint8Array[], stated?: number) {
  const manifests = children.map(({ byteLength }, index) => {
    return { mediaType: MANIFEST, digest: digestOf(index), size: stated ?? byteLength }
  })
  const bytes = new TextEncoder().encode(JSON.stringify({ mediaType: INDEX, manifests }))
  const seen = { read: 0, looks: 0, running: 0, most: 0 }
  const store: ContentStore = {
    manifest: async (digest, most) => {
      seen.running += 1
      seen.most = Math.max(seen.most, seen.running)
      await new Promise((resolve) => setTimeout(resolve, 1))
      seen.running -= 1
      const child = children[Number.parseInt(digest.slice(7), 16)]
      if (child === undefined) return 'absent'
      if (child.byteLength > most) return 'too-long'
      seen.read += child.byteLength
      return child
    },
    hasManifest: async () => {
      seen.looks += 1
      return true
    },
    hasBlob: async () => true,
    blob: async () => undefined,
  }
  return { content: new ImageContent(bytes, store), length: bytes.byteLength, seen }
}

describe('of an index', () => {
  it('everything is counted that is of a sane size', async () => {
    const { content, seen, length } = world([manifestOf(1000, 2), manifestOf(256 * KIB, 2, 1)])
    const platforms = await content.platforms()
    expect(platforms.map(({ size }) => size)).toEqual([1002, 256 * KIB + 2])
    // The three layers, one of them in both.
    expect(content.knownSize).toBe(length + 1000 + 256 * KIB + 3)
    expect([content.isCut, seen.looks]).toEqual([false, 0])
  })

  it('a manifest that is too long is not read, and is here all the same', async () => {
    const { content, seen } = world([manifestOf(256 * KIB + 1), manifestOf(1000)])
    const platforms = await content.platforms()
    expect(platforms.map(({ size, isHere }) => [size, isHere])).toEqual([
      [undefined, true],
      [1001, true],
    ])
    expect(seen).toMatchObject({ read: 1000, looks: 1 })
    expect(content.isCut).toBe(true)
  })

  it('the size that it states is not believed', async () => {
    const { content, seen } = world([manifestOf(256 * KIB + 1)], 10)
    expect(await content.platforms()).toMatchObject([{ size: undefined, isHere: true }])
    expect([seen.read, content.isCut]).toEqual([0, true])
  })

  it.each([undefined, 10])('so much is read and no more (stated: %s)', async (stated) => {
    const children = Array.from({ length: 100 }, () => manifestOf(250 * KIB))
    const { content, seen } = world(children, stated)
    const platforms = await content.platforms()
    expect(platforms.every(({ isHere }) => isHere === true)).toBe(true)
    expect(seen.read).toBeLessThanOrEqual(8 * MIB)
    expect(seen.read).toBeGreaterThan(7 * MIB)
    expect(seen.most).toBe(3)
    expect(content.isCut).toBe(true)
  })

  it('what is read is not the same as what was set aside for it', async () => {
    const { content, seen } = world(Array.from({ length: 100 }, () => manifestOf(1000)))
    await content.platforms()
    expect([seen.read, seen.looks, content.isCut]).toEqual([100_000, 0, false])
  })

  it('so many layers of a manifest are counted', async () => {
    const { content } = world([manifestOf(0, 1500)])
    const [line] = await content.platforms()
    expect(line?.size).toBe(manifestOf(0, 1500).byteLength + 1000)
    expect(content.isCut).toBe(true)
  })
})
