// What is acknowledged is there, and what is deleted is gone, for everybody and at once: two isolates, each with a
// memory of its own, as two Workers in two places have.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesOf } from '../support/answer.ts'
import { expectBytes } from '../support/blob.ts'
import {
  OCI_INDEX,
  OCI_MANIFEST,
  contentOf,
  descriptorOf,
  encode,
  indexOf,
  noise,
  startHosted,
} from '../support/hosted-registry.ts'
import type { HostedRegistry } from '../support/hosted-registry.ts'

const STEM = '/v2/hosted/a'

let here: HostedRegistry
let there: HostedRegistry

beforeEach(() => {
  here = startHosted()
  there = startHosted()
})

afterEach(async () => {
  await reset()
})

/** The status that each of the two gives, and the digest. */
async function seen(path: string): Promise<readonly unknown[]> {
  const answers = [await here.get(STEM + path), await there.head(STEM + path)]
  return answers.map(({ status, headers }) => [status, headers.get('docker-content-digest')])
}

async function tags(): Promise<unknown> {
  const answer = await there.get(`${STEM}/tags/list`)
  const list: { tags: unknown } = await answer.json()
  return list.tags
}

describe('after its 201, everybody reads', () => {
  it('a blob', async () => {
    const blob = await noise(100)
    expect((await there.get(`${STEM}/blobs/${blob.digest}`)).status).toBe(404)
    await here.pushBlob('hosted/a', blob)
    expect(await seen(`/blobs/${blob.digest}`)).toEqual([
      [200, blob.digest],
      [200, blob.digest],
    ])
  })

  it('a manifest, its tag, and the tag in the list', async () => {
    expect((await there.get(`${STEM}/manifests/v1`)).status).toBe(404)
    const { digest } = await here.pushImage('hosted/a', { reference: 'v1' })
    for (const name of ['v1', digest]) {
      expect(await seen(`/manifests/${name}`)).toEqual([
        [200, digest],
        [200, digest],
      ])
    }
    expect(await tags()).toEqual(['v1'])
  })

  it('a tag’s new manifest, who has just read the one before', async () => {
    const before = await here.pushImage('hosted/a', { reference: 'v1' })
    for (const registry of [here, there]) await registry.get(`${STEM}/manifests/v1`)
    const image = await there.pushImage('hosted/a', { seed: 2, reference: 'v1' })
    expect(await seen('/manifests/v1')).toEqual([
      [200, image.digest],
      [200, image.digest],
    ])
    expectBytes(await bytesOf(await here.get(`${STEM}/manifests/${before.digest}`)), before.bytes)
  })

  it('a referrer', async () => {
    const subject = { mediaType: OCI_MANIFEST, digest: `sha256:${'a'.repeat(64)}`, size: 3 }
    const path = `${STEM}/referrers/${subject.digest}`
    expect(await (await there.get(path)).json()).toMatchObject({ manifests: [] })
    const referrer = await contentOf(encode(indexOf([], { subject })))
    await here.putManifest(`${STEM}/manifests/v1`, referrer.bytes, OCI_INDEX)
    const expected = [descriptorOf(referrer, OCI_INDEX)]
    expect(await (await there.get(path)).json()).toMatchObject({ manifests: expected })
  })

  it('what an upload has, by its session', async () => {
    const location = await here.open('hosted/a')
    await here.patch(location, (await noise(5)).bytes, 0)
    expect((await there.get(location)).headers.get('range')).toBe('0-4')
  })
})

describe('after its 202, nobody reads', () => {
  it.each(['v1', 'digest'])('a manifest deleted by %s, who has just read it', async (by) => {
    const { digest } = await here.pushImage('hosted/a', { reference: 'v1' })
    for (const registry of [here, there]) {
      for (const name of ['v1', digest]) await registry.get(`${STEM}/manifests/${name}`)
    }
    await here.send('DELETE', `${STEM}/manifests/${by === 'v1' ? by : digest}`)
    const gone = [
      [404, null],
      [404, null],
    ]
    expect(await seen('/manifests/v1')).toEqual(gone)
    if (by === 'digest') expect(await seen(`/manifests/${digest}`)).toEqual(gone)
    expect(await tags()).toEqual([])
  })

  it('a blob, who has just read it', async () => {
    const blob = await noise(100)
    await here.pushBlob('hosted/a', blob)
    for (const registry of [here, there]) await registry.get(`${STEM}/blobs/${blob.digest}`)
    await there.send('DELETE', `${STEM}/blobs/${blob.digest}`)
    expect(await seen(`/blobs/${blob.digest}`)).toEqual([
      [404, null],
      [404, null],
    ])
  })
})

it('of twenty PUTs of one tag at once all are taken, and one after another', async () => {
  const images = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      contentOf(encode(indexOf([], { annotations: { n: String(index) } }))),
    ),
  )
  const answers = await Promise.all(
    images.map(({ bytes }, index) =>
      (index % 2 === 0 ? here : there).putManifest(`${STEM}/manifests/v1`, bytes, OCI_INDEX),
    ),
  )
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
  const [[, winner]] = (await seen('/manifests/v1')) as [[number, string]]
  expect(images.map(({ digest }) => String(digest))).toContain(winner)
  for (const { digest } of images) {
    expect((await here.head(`${STEM}/manifests/${digest}`)).status).toBe(200)
  }
  expect(await tags()).toEqual(['v1'])
})
