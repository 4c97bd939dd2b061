// A mirrored repository, `one.test/a/b`, and its ledger as those see it who look at what it holds and thin it out.

import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { ForgetOrder, StoredImage } from '../../src/mirror/inventory.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { isolate } from './isolate.ts'
import { reference, repository, tag } from './parsed.ts'

/** The repository. */
export const NAME = { host: 'one.test', repository: repository('a/b') }

/** Pulls one or more manifests as a client of a fresh isolate, and nothing of their blobs. */
export async function pullManifests(...references: readonly string[]): Promise<void> {
  const { get } = isolate()
  for (const each of references) {
    const answer = await get(`/v2/one.test/a/b/manifests/${each}`)
    await answer.arrayBuffer()
    if (answer.status !== 200) throw new Error(`${each}: ${answer.status}`)
  }
}

/** Its ledger. */
export function ledger() {
  const stub = env.MIRROR_LEDGER.getByName('one.test/a/b')
  return {
    stub,
    images: async (limit = 100): Promise<readonly StoredImage[]> => {
      const all: StoredImage[] = []
      let after: Digest | undefined
      do {
        const page = await stub.images(NAME, after, limit)
        all.push(...page.images)
        after = page.next
      } while (after !== undefined)
      return all
    },
    read: (at: number, digests: readonly Digest[], pulls = 0) =>
      stub.read(NAME, { at, pulls, digests }),
    summary: () => stub.summary(NAME),
    named: (digests: readonly Digest[]) => stub.named(NAME, digests),
    pin: (text: string, isPinned = true) => stub.pin(NAME, reference(text), isPinned),
    forget: ({
      tags = [],
      ...order
    }: Partial<Omit<ForgetOrder, 'tags'>> & { readonly tags?: readonly string[] }) =>
      stub.forget(NAME, { digests: [], ...order, tags: tags.map(tag) }),
    forgetAll: () => stub.forgetAll(NAME),
    refresh: (text: string) => stub.refresh(NAME, tag(text)),
    /** Runs in the object. */
    inside: <Value>(run: (storage: DurableObjectStorage) => Value) =>
      runInDurableObject(stub, (_, { storage }) => run(storage)),
  }
}

/** Every key of R2, and of KV, that has to do with the repository. */
export async function keysLeft(): Promise<readonly string[]> {
  const { objects } = await env.BLOBS.list()
  const { keys } = await env.HINTS.list()
  return [...objects.map(({ key }) => key), ...keys.map(({ name }) => name)].toSorted()
}

/** The tables of an object, or none. */
export function tablesOf({ sql }: DurableObjectStorage): readonly unknown[] {
  return sql
    .exec(`SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'`)
    .toArray()
    .map(({ name }) => name)
}
