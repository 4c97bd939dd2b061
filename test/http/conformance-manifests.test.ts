// end-3 and end-9 as the distribution spec has them, and what the suites of v1.0.1, v1.1.0 and v1.1.1 assert of
// them: a manifest is pulled and deleted. That it is pulled as it was pushed is in conformance-push.test.ts.

import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesOf, refusalOf } from '../support/answer.ts'
import { expectBytes } from '../support/blob.ts'
import { OCI_INDEX, OCI_MANIFEST, contentOf, startHosted } from '../support/hosted-registry.ts'
import type { HostedRegistry } from '../support/hosted-registry.ts'

const MANIFESTS = '/v2/hosted/a/manifests'
const ABSENT = `sha256:${'a'.repeat(64)}`

let registry: HostedRegistry

beforeEach(() => {
  registry = startHosted()
})

afterEach(async () => {
  await reset()
})

describe('end-3: a manifest that is not there', () => {
  it.each([
    { name: 'by tag', path: 'hosted/a/manifests/absent' },
    { name: 'by digest', path: `hosted/a/manifests/${ABSENT}` },
    { name: 'by a tag that is none', path: 'hosted/a/manifests/.INVALID_MANIFEST_NAME' },
    { name: 'in a repository that nobody pushed to', path: 'hosted/nobody/manifests/v1' },
    { name: 'there by digest', path: `hosted/nobody/manifests/${ABSENT}` },
  ])('$name is 404 to GET and HEAD', async ({ path }) => {
    expect(await refusalOf(await registry.get(`/v2/${path}`))).toBe('404 MANIFEST_UNKNOWN')
    const head = await registry.head(`/v2/${path}`)
    expect([head.status, head.body]).toEqual([404, null])
  })

  it.each(['sha256:baddigeststring', 'sha256:totallywrong'])(
    'because %s is none is 400',
    async (digest) => {
      const answer = await registry.get(`${MANIFESTS}/${digest}`)
      expect(await refusalOf(answer)).toBe('400 DIGEST_INVALID')
    },
  )

  it('in this repository is 404, whoever else has it', async () => {
    const image = await registry.pushImage('hosted/b', { reference: 'v1' })
    for (const name of ['v1', image.digest]) {
      const answer = await registry.get(`${MANIFESTS}/${name}`)
      expect(await refusalOf(answer)).toBe('404 MANIFEST_UNKNOWN')
    }
  })

  it('under the other algorithm of the same bytes is 404', async () => {
    const image = await registry.pushImage('hosted/a')
    const { digest } = await contentOf(image.bytes, 'sha512')
    expect((await registry.get(`${MANIFESTS}/${digest}`)).status).toBe(404)
  })
})

describe('end-3: whatever the client accepts', () => {
  it.each(['*/*', OCI_INDEX, 'application/json', undefined])(
    '%s, gets the same',
    async (accept) => {
      const image = await registry.pushImage('hosted/a', { reference: 'v1' })
      const answer = await registry.get(
        `${MANIFESTS}/v1`,
        accept === undefined ? {} : { Accept: accept },
      )
      expect(answer.headers.get('content-type')).toBe(OCI_MANIFEST)
      expectBytes(await bytesOf(answer), image.bytes)
    },
  )
})

describe('end-9: a deleted tag', () => {
  it('is gone at once, its manifest and other tags stay', async () => {
    const image = await registry.pushImage('hosted/a', { reference: 'v1' })
    await registry.putManifest(`${MANIFESTS}/v2`, image.bytes)
    expect((await registry.send('DELETE', `${MANIFESTS}/v1`)).status).toBe(202)
    expect((await registry.head(`${MANIFESTS}/v1`)).status).toBe(404)
    expect(await refusalOf(await registry.get(`${MANIFESTS}/v1`))).toBe('404 MANIFEST_UNKNOWN')
    for (const name of ['v2', image.digest]) {
      expect((await registry.get(`${MANIFESTS}/${name}`)).status).toBe(200)
    }
  })

  it('that was not there is 404', async () => {
    await registry.pushImage('hosted/a')
    const answer = await registry.send('DELETE', `${MANIFESTS}/absent`)
    expect(await refusalOf(answer)).toBe('404 MANIFEST_UNKNOWN')
  })
})

describe('end-9: a deleted manifest', () => {
  it.each(['sha256', 'sha512'] as const)(
    '%s: is gone at once, and so are its tags',
    async (algorithm) => {
      const { bytes } = await registry.pushImage('hosted/a')
      const image = await contentOf(bytes, algorithm)
      await registry.putManifest(`${MANIFESTS}/${image.digest}?tag=v1&tag=v2`, bytes)
      expect((await registry.send('DELETE', `${MANIFESTS}/${image.digest}`)).status).toBe(202)
      for (const name of ['v1', 'v2', image.digest]) {
        expect((await registry.head(`${MANIFESTS}/${name}`)).status).toBe(404)
        const answer = await registry.get(`${MANIFESTS}/${name}`)
        expect(await refusalOf(answer)).toBe('404 MANIFEST_UNKNOWN')
      }
    },
  )

  it('may be pushed again', async () => {
    const image = await registry.pushImage('hosted/a', { reference: 'v1' })
    await registry.send('DELETE', `${MANIFESTS}/${image.digest}`)
    expect((await registry.putManifest(`${MANIFESTS}/v1`, image.bytes)).status).toBe(201)
    for (const name of ['v1', image.digest]) {
      expectBytes(await bytesOf(await registry.get(`${MANIFESTS}/${name}`)), image.bytes)
    }
  })

  it.each([
    { name: 'in a repository that has others', path: `hosted/a/manifests/${ABSENT}` },
    {
      name: 'in a repository that nobody pushed to',
      path: `hosted/nobody/manifests/${ABSENT}`,
    },
  ])('that was not there, $name, is 404', async ({ path }) => {
    await registry.pushImage('hosted/a')
    expect((await registry.send('DELETE', `/v2/${path}`)).status).toBe(404)
  })
})
