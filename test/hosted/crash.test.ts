// The crash matrix on real objects and real R2, for the steps that R2 shows: one of them fails, with or without
// its effect, and every object forgets what it has not stored. Deaths, messages and interleavings are in
// test/hosted-model, on the same classes (design §3).

import {
  evictAllDurableObjects,
  listDurableObjectIds,
  reset,
  runDurableObjectAlarm,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { BlobClaims, HostedLedger, UploadSession } from '../../src/objects.ts'
import { bytesOf } from '../support/answer.ts'
import { storageIsAway } from '../support/broken.ts'
import { DAY, stopClock } from '../support/clock.ts'
import type { Clock } from '../support/clock.ts'
import {
  CONFIG,
  contentOf,
  encode,
  manifestOf,
  noise,
  startHosted,
} from '../support/hosted-registry.ts'
import type { Content, HostedRegistry } from '../support/hosted-registry.ts'
import { keys } from '../support/hosted-objects.ts'

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const FOO = 'hosted/foo'
const OTHER = 'hosted/other'

/** An image: what a client pushes, and finds when it pulls. */
interface Image {
  readonly config: Content
  readonly layer: Content
  readonly manifest: Content
}

async function imageOf(seed: number): Promise<Image> {
  const [config, layer] = [await contentOf(encode({ seed })), await noise(5000, { seed })]
  const named = ({ digest, bytes }: Content) => ({ digest, size: bytes.byteLength })
  const document = manifestOf({ mediaType: CONFIG, ...named(config) }, [
    { mediaType: 'application/vnd.oci.image.layer.v1.tar', ...named(layer) },
  ])
  return { config, layer, manifest: await contentOf(encode(document)) }
}

/** Pushes as clients do; the status of the last request, which is the first that failed. */
async function push(registry: HostedRegistry, name: string, image: Image): Promise<number> {
  for (const blob of [image.config, image.layer]) {
    const path = `/v2/${name}/blobs/${blob.digest}`
    if ((await registry.head(path)).status === 200) continue
    const { status } = await registry.send('POST', uploads(name, `digest=${blob.digest}`), {
      body: blob.bytes,
    })
    if (status !== 201) return status
  }
  return (await registry.putManifest(`/v2/${name}/manifests/latest`, image.manifest.bytes)).status
}

const uploads = (name: string, query: string) => `/v2/${name}/blobs/uploads/?${query}`

async function remove(registry: HostedRegistry, name: string, { manifest, layer }: Image) {
  const first = await registry.send('DELETE', `/v2/${name}/manifests/${manifest.digest}`)
  const second = await registry.send('DELETE', `/v2/${name}/blobs/${layer.digest}`)
  // A retry finds that it is done.
  return [first, second].every(({ status }) => [202, 404].includes(status)) ? 202 : second.status
}

async function mount(registry: HostedRegistry, { layer }: Image): Promise<number> {
  const query = `mount=${layer.digest}&from=${OTHER}`
  return (await registry.send('POST', uploads(FOO, query))).status
}

/** Every byte of an image, or that nothing of it can be read by its tag. */
async function expectWholeOrNothing(registry: HostedRegistry, name: string, image: Image) {
  const manifest = await registry.get(`/v2/${name}/manifests/latest`)
  if (manifest.status === 404) return
  expect(await bytesOf(manifest)).toEqual(image.manifest.bytes)
  for (const { digest, bytes } of [image.config, image.layer]) {
    const blob = await registry.get(`/v2/${name}/blobs/${digest}`)
    expect(blob.status).toBe(200)
    expect(await bytesOf(blob)).toEqual(bytes)
  }
}

const METHODS = ['put', 'delete', 'head'] as const

/** The n-th operation that objects ask of R2 from now on fails: it has its effect, or none. */
function failAt(n: number, when: 'before' | 'after') {
  const bucket = Object.getPrototypeOf(env.BLOBS) as R2Bucket
  let count = 0
  const spies = METHODS.map((method) => {
    const real = bucket[method] as (...args: unknown[]) => Promise<unknown>
    const operate = async function (this: R2Bucket, ...args: unknown[]) {
      count += 1
      if (count !== n) return Reflect.apply(real, this, args)
      if (when === 'after') await Reflect.apply(real, this, args)
      return storageIsAway()
    }
    return vi.spyOn(bucket, method).mockImplementation(operate as never)
  })
  return {
    count: () => count,
    restore: () => {
      for (const spy of spies) spy.mockRestore()
    },
  }
}

/** Runs a request in which an operation fails; afterwards no object remembers what is not stored. */
async function failing(
  request: () => Promise<unknown>,
  settle: () => Promise<void>,
  at: { readonly n: number; readonly when: 'before' | 'after' },
): Promise<boolean> {
  const { count, restore } = failAt(at.n, at.when)
  await request()
  await settle()
  await evictAllDurableObjects()
  restore()
  return count() >= at.n
}

/** Rings all alarms again and again, until nothing changes any more. */
async function rest(clock: Clock): Promise<void> {
  for (let day = 0; day < 6; day++) {
    clock.advance(DAY)
    await ring(env.UPLOAD_SESSION)
    await ring(env.HOSTED_LEDGER)
    await ring(env.BLOB_CLAIMS)
  }
}

async function ring<Kind extends UploadSession | HostedLedger | BlobClaims>(
  namespace: DurableObjectNamespace<Kind>,
): Promise<void> {
  for (const id of await listDurableObjectIds(namespace)) {
    await runDurableObjectAlarm(namespace.get(id))
  }
}

interface Flow {
  readonly name: string
  readonly before: (registry: HostedRegistry, image: Image) => Promise<unknown>
  readonly run: (registry: HostedRegistry, image: Image) => Promise<number>
  readonly want: number
  /** Operations of R2, at least. */
  readonly operations: number
  /** Contents of blobs and manifests that are left in the end. */
  readonly left: number
}

const FLOWS: readonly Flow[] = [
  {
    name: 'push',
    before: async () => undefined,
    run: (registry, image) => push(registry, FOO, image),
    want: 201,
    // Two blobs, the marker, the manifest.
    operations: 4,
    left: 3,
  },
  {
    name: 'mount',
    before: (registry, image) => push(registry, OTHER, image),
    run: mount,
    want: 201,
    operations: 1,
    left: 3,
  },
  {
    name: 'delete',
    before: (registry, image) => push(registry, FOO, image),
    run: (registry, image) => remove(registry, FOO, image),
    want: 202,
    operations: 1,
    left: 0,
  },
]

const CELLS = FLOWS.flatMap((flow) =>
  Array.from({ length: flow.operations }, (_, index) => index + 1).flatMap((at) =>
    (['before', 'after'] as const).map((when) => ({ ...flow, at, when })),
  ),
)

describe('storage fails, and every object is evicted', () => {
  it.each(CELLS)(
    'in a $name, $when operation $at of storage: nothing is broken, a retry completes, nothing is left over',
    async ({ before, run, want, at, when, left }) => {
      const clock = stopClock()
      const registry = startHosted()
      const image = await imageOf(at)
      await before(registry, image)
      await registry.settle()
      const isReached = await failing(() => run(registry, image), registry.settle, { n: at, when })
      expect(isReached).toBe(true)
      await expectWholeOrNothing(registry, FOO, image)
      expect(await run(registry, image)).toBe(want)
      await expectWholeOrNothing(registry, FOO, image)
      await rest(clock)
      expect(await keys('hosted/')).toHaveLength(left)
    },
  )
})

describe('objects that are evicted between any two requests', () => {
  it('know all that was pushed, mounted and deleted', async () => {
    const clock = stopClock()
    const registry = startHosted()
    const evicting = async (answer: Promise<number>, want: number) => {
      expect(await answer).toBe(want)
      await registry.settle()
      await evictAllDurableObjects()
    }
    const image = await imageOf(7)
    await evicting(push(registry, OTHER, image), 201)
    await evicting(mount(registry, image), 201)
    await evicting(push(registry, FOO, image), 201)
    await evicting(remove(registry, OTHER, image), 202)
    await expectWholeOrNothing(registry, FOO, image)
    await evictAllDurableObjects()
    await rest(clock)
    expect(await keys('hosted/')).toHaveLength(3)
    await evicting(remove(registry, FOO, image), 202)
    await rest(clock)
    expect(await keys('hosted/')).toEqual([])
    expect(await keys('repositories/hosted/')).toEqual([])
  })
})
