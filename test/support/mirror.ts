// A mirror as the jobs see it that remove what is mirrored: real objects in R2, and ledgers that a test writes itself.

import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { CollectBook } from '../../src/jobs/collect-book.ts'
import { Collect } from '../../src/jobs/collect.ts'
import type { CollectRun, CollectState, StorageFigures } from '../../src/jobs/collect-run.ts'
import type { ReportItem } from '../../src/jobs/job.ts'
import type { MirroredLedger } from '../../src/jobs/mirrored.ts'
import type { Step } from '../../src/jobs/task.ts'
import type { ForgetOrder, StoredImage } from '../../src/mirror/inventory.ts'
import type { Digest } from '../../src/oci/digest.ts'
import {
  canonicalName,
  markerKey,
  mirroredBlobKey,
  mirroredManifestKey,
  parseCanonicalName,
} from '../../src/storage/keys.ts'
import { RepositoryMarkers } from '../../src/storage/repositories.ts'
import type { MirroredName } from '../../src/storage/keys.ts'
import { DAY } from './clock.ts'
import { tag } from './parsed.ts'

/** Bytes of every manifest. */
export const MANIFEST = 10

/** The present: ten days after everything was stored. */
export const NOW = Date.now() + 10 * DAY

/** So many days before that. */
export function daysAgo(days: number): number {
  return NOW - days * DAY
}

/** A digest, by a short name of the test's own. */
export function digestNamed(name: string): Digest {
  const hex = [...new TextEncoder().encode(name)].map((byte) => byte.toString(16)).join('')
  return `sha256:${hex.padEnd(64, '0')}` as Digest
}

/** The short name back. */
export function nameOfDigest(digest: string): string {
  const hex = digest.slice('sha256:'.length).replace(/(?:00)+$/, '')
  return (hex.match(/../g) ?? [])
    .map((byte) => String.fromCharCode(Number.parseInt(byte, 16)))
    .join('')
}

/** A repository by its canonical name. */
export function named(canonical: string): MirroredName {
  const name = parseCanonicalName(canonical)
  if (name === undefined) throw new Error(canonical)
  return name
}

/** An image of a test: what it is called is its tag and the name of its digest. */
export interface SampleStored {
  readonly in: string
  readonly image: string
  readonly read: number
  readonly blobs: Readonly<Record<string, number>>
  readonly tags?: readonly string[]
  readonly manifests?: readonly string[]
  readonly isPinned?: boolean
}

/** Ledgers and what happened to them. */
export class SampleMirror {
  readonly images = new Map<string, StoredImage[]>()
  readonly reads = new Map<string, Map<Digest, number>>()
  readonly figures: StorageFigures[] = []
  /** Called before each operation, with what it is. */
  watch: (what: string) => void = () => undefined
  /** When lists say that everything was stored. */
  listedAs: Date | undefined
  /** Whether every list begins with a page that is empty, and goes on. */
  isHalting = false
  readonly privates = new Set<string>()
  readonly hosts = new Set(['one.test', 'two.test'])

  /** Stores an image: rows, manifests and blobs. */
  async add(sample: SampleStored): Promise<void> {
    const { in: canonical, image, blobs, manifests = [] } = sample
    const name = named(canonical)
    await env.BLOBS.put(markerKey('mirrored', canonical), new Uint8Array())
    for (const each of [image, ...manifests]) {
      await env.BLOBS.put(mirroredManifestKey(name, digestNamed(each)), new Uint8Array(MANIFEST))
    }
    for (const [blob, size] of Object.entries(blobs)) await this.addBlob(canonical, blob, size)
    this.addRows(sample)
  }

  /** Only the rows. */
  addRows({
    in: canonical,
    image,
    read,
    blobs,
    tags = [image],
    manifests = [],
    isPinned = false,
  }: SampleStored): void {
    const known = this.images.get(canonical) ?? []
    const stored: StoredImage = {
      digest: digestNamed(image),
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      artifactType: undefined,
      subject: undefined,
      tags: tags.map(tag),
      platforms: [],
      size: 0,
      firstSeen: read,
      lastRead: read,
      isPinned,
      manifests: [image, ...manifests].map(digestNamed),
      blobs: Object.entries(blobs).map(([blob, size]) => ({ digest: digestNamed(blob), size })),
    }
    const all = [...known, stored].toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
    this.images.set(canonical, all)
  }

  /** Stores a blob where the repository has it. */
  async addBlob(canonical: string, blob: string, size: number): Promise<void> {
    await env.BLOBS.put(this.keyOf(canonical, blob), new Uint8Array(size))
  }

  /** Where the repository has it. */
  keyOf(canonical: string, blob: string): string {
    const name = named(canonical)
    return mirroredBlobKey(name, this.privates.has(canonical), digestNamed(blob))
  }

  /** A blob was read. */
  read(canonical: string, blob: string, at: number): void {
    const known = this.reads.get(canonical) ?? new Map<Digest, number>()
    known.set(digestNamed(blob), at)
    this.reads.set(canonical, known)
  }

  /** What is stored, by the short names of the digests, in ASCII order. */
  async stored(): Promise<string[]> {
    const { objects } = await env.BLOBS.list({ prefix: 'mirror/' })
    return objects
      .map(({ key }) => nameOfDigest(`sha256:${key.split('/').at(-1) ?? ''}`))
      .toSorted()
  }

  /** Bytes that are stored. */
  async bytes(): Promise<number> {
    const { objects } = await env.BLOBS.list({ prefix: 'mirror/' })
    return objects.reduce((sum, { size }) => sum + size, 0)
  }

  ledgerOf(name: MirroredName): MirroredLedger {
    const canonical = canonicalName(name)
    const note = (what: string): void => this.watch(`${what} ${canonical}`)
    return {
      images: async (after, limit) => {
        note('images')
        const all = this.images.get(canonical) ?? []
        const rest = all.filter(({ digest }) => after === undefined || digest > after)
        const images = rest.slice(0, Math.min(limit, 2))
        return { images, next: images.length < rest.length ? images.at(-1)?.digest : undefined }
      },
      blobReads: async (after, limit) => {
        note('reads')
        const all = [...(this.reads.get(canonical) ?? [])].map(([digest, at]) => ({ digest, at }))
        const rest = all
          .toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
          .filter(({ digest }) => after === undefined || digest > after)
        const items = rest.slice(0, Math.min(limit, 2))
        return { items, next: items.length < rest.length ? items.at(-1)?.digest : undefined }
      },
      forget: async (order) => {
        note('forget')
        const forgotten = await this.#forget(canonical, order)
        note('forgotten')
        return { forgotten, blobs: [], isDone: true }
      },
      forgetAll: async () => {
        note('forgetAll')
        this.images.delete(canonical)
        this.reads.delete(canonical)
        return { forgotten: [], blobs: [], isDone: true }
      },
      named: async (digests) => {
        note('named')
        const all = (this.images.get(canonical) ?? []).flatMap(({ blobs }) => blobs)
        return digests.filter((digest) => all.some((blob) => blob.digest === digest))
      },
      pin: async () => undefined,
    }
  }

  async #forget(canonical: string, { digests, unlessReadSince }: ForgetOrder): Promise<Digest[]> {
    const all = this.images.get(canonical) ?? []
    const going = all.filter(({ digest, isPinned, lastRead }) => {
      const isSpared = unlessReadSince !== undefined && (isPinned || lastRead >= unlessReadSince)
      return digests.includes(digest) && !isSpared
    })
    const rest = all.filter((image) => !going.includes(image))
    this.images.set(canonical, rest)
    const kept = new Set(rest.flatMap(({ manifests }) => manifests))
    const gone = going.flatMap(({ manifests }) => manifests).filter((each) => !kept.has(each))
    for (const digest of gone) await env.BLOBS.delete(mirroredManifestKey(named(canonical), digest))
    return gone
  }

  async #listed(listing: Promise<R2Objects>): Promise<unknown> {
    const page = await listing
    const uploaded = this.listedAs
    if (uploaded === undefined) return page
    return { ...page, objects: page.objects.map(({ key, size }) => ({ key, size, uploaded })) }
  }

  /** A collection on this mirror; `watch` is told of what it asks of R2 too. */
  collect(now: number): Collect {
    const bucket = new Proxy(env.BLOBS, {
      get: (target, method) => {
        const value: unknown = Reflect.get(target, method)
        if (typeof value !== 'function') return value
        return (...values: unknown[]): unknown => {
          this.watch(String(method))
          const [options] = values as [R2ListOptions?]
          if (method === 'list' && this.isHalting) {
            if (options?.cursor === undefined) {
              const cursor = JSON.stringify(options)
              return Promise.resolve({ objects: [], truncated: true, cursor })
            }
            return target.list(JSON.parse(options.cursor) as R2ListOptions)
          }
          const answer: unknown = Reflect.apply(value, target, values)
          return method === 'list' ? this.#listed(answer as Promise<R2Objects>) : answer
        }
      },
    })
    return new Collect({
      bucket,
      markers: new RepositoryMarkers(bucket),
      ledgerOf: (name) => this.ledgerOf(name),
      isPrivate: (name) =>
        this.hosts.has(name.host) ? this.privates.has(canonicalName(name)) : undefined,
      isConfigured: (host) => this.hosts.has(host),
      measured: async (figures) => {
        this.watch('measured')
        this.figures.push(figures)
      },
      now: () => now,
      log: () => undefined,
    })
  }
}

/** What a run has come to. */
export interface Collected {
  readonly step: Step<CollectState>
  readonly steps: number
  readonly report: readonly ReportItem[]
  readonly run: CollectRun | undefined
}

/** Runs a collection to its end in an object of its own, from where it stands; `isCancelled` may end it. */
export async function runCollect(
  mirror: SampleMirror,
  state: Partial<CollectState>,
  { job = 'job', now = NOW, isCancelled = (): boolean => false } = {},
): Promise<Collected> {
  return runInDurableObject(env.JOB.getByName(job), async (_, { storage }) => {
    const report: ReportItem[] = []
    const order: CollectState = { target: undefined, isDryRun: false, ...state }
    const context = {
      id: job,
      by: 'root',
      until: now + 60_000,
      isCancelled,
      show: () => undefined,
      sql: storage.sql,
      report: (item: ReportItem) => void report.push(item),
    }
    let steps = 0
    for (;;) {
      const step = await mirror.collect(now).step(order, context)
      steps += 1
      if (step.next === 'done' || isCancelled()) {
        return { step, steps, report, run: new CollectBook(storage.sql).run() }
      }
    }
  })
}
