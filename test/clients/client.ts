// What a client of this suite is: it pulls its own image through entrepot into an empty store and checks what it got.

import { type Content, digestOf, type Image, partsOf } from './image.ts'
import type { Endpoint } from './registry.ts'

/** The host that classic Docker clients mean without saying so. */
export const DOCKER_HUB = 'docker.io'

/** Another host of the upstream table, without a built-in profile. */
export const OTHER_HOST = 'registry.test'

/** A real client, or the replay of one, with the image that it alone pulls. */
export interface Client {
  readonly name: string
  readonly image: Image
  /** Whether it pulls one platform or everything that the index names. */
  readonly parts: 'platform' | 'all'
  /** Pulls into an empty store and compares what arrived with what was pushed. */
  readonly pull: (registry: Endpoint) => Promise<void>
  /** Runs a container from what was pulled last and returns what it printed. */
  readonly run?: () => Promise<string>
}

/** The image's parts that this client pulls. */
export function pulledParts(client: Pick<Client, 'image' | 'parts'>): readonly Content[] {
  const { manifests, blobs } = partsOf(client.image, client.parts)
  return [...manifests, ...blobs]
}

/** Fails unless the bytes are exactly those that were pushed. */
export function expectBytes(pushed: Content, pulled: Uint8Array): void {
  const digest = digestOf(pulled)
  if (digest !== pushed.digest) throw new Error(`${pushed.digest} arrived as ${digest}`)
}

/** Fails unless both are equal. */
export function expectEqual(what: string, found: unknown, expected: unknown): void {
  const [isText, wantText] = [JSON.stringify(found), JSON.stringify(expected)]
  if (isText !== wantText) throw new Error(`${what}: found ${isText}, expected ${wantText}`)
}
