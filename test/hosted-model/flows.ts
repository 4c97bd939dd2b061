// What a client does in one go, for the crash matrix: what must be there before, what is done, and how one sees
// that it is done.

import { GRACE } from '../../src/hosted/ledger.ts'
import type { Client, Outcome } from './client.ts'
import { BLOBS, IMAGES, TAGS } from './contents.ts'
import type { SampleBlob, Image } from './contents.ts'
import { REPOSITORIES } from './registry.ts'
import type { RepositoryName } from '../../src/oci/repository-name.ts'
import type { LedgerState } from './state.ts'

/** A flow of the crash matrix. */
export interface Flow {
  readonly name: string
  readonly before: (client: Client) => Promise<Outcome>
  readonly run: (client: Client) => Promise<Outcome>
  /** Whether a ledger shows that it is done; others show nothing else. */
  readonly isDone: (ledgers: ReadonlyMap<RepositoryName, LedgerState>) => boolean
  /** How long what it sets going takes (milliseconds); a few alarms if nothing is said. */
  readonly lasts?: number
}

const [FOO, OTHER] = REPOSITORIES as [RepositoryName, RepositoryName]
const [A] = BLOBS as [SampleBlob]
const [FIRST, SECOND, INDEX] = IMAGES as [Image, Image, Image]
const [LATEST] = TAGS

const done = async (): Promise<Outcome> => 'done'

/** Whether a repository has an image with all that it names. */
function isWhole(ledger: LedgerState | undefined, image: Image): boolean {
  if (ledger?.manifests.includes(image.digest) !== true) return false
  const blobs = image.blobs.every(({ digest }) => ledger.held.has(digest))
  return blobs && image.images.every((child) => isWhole(ledger, child))
}

/** The flows. */
export const FLOWS: readonly Flow[] = [
  {
    name: 'upload',
    before: done,
    run: (client) => client.upload(FOO, A),
    isDone: (ledgers) => ledgers.get(FOO)?.held.has(A.digest) === true,
  },
  {
    name: 'upload of what another repository has',
    before: (client) => client.push(OTHER, FIRST, [...TAGS]),
    run: (client) => client.upload(FOO, A),
    isDone: (ledgers) => ledgers.get(FOO)?.held.has(A.digest) === true,
  },
  {
    name: 'push of an image',
    before: done,
    run: (client) => client.push(FOO, FIRST, [...TAGS]),
    isDone: (ledgers) => {
      const ledger = ledgers.get(FOO)
      return isWhole(ledger, FIRST) && TAGS.every((tag) => ledger?.tags.get(tag) === FIRST.digest)
    },
  },
  {
    name: 'push of an image over another, with a blob in common',
    before: (client) => client.push(FOO, FIRST, [...TAGS]),
    run: (client) => client.push(FOO, SECOND, [...TAGS]),
    isDone: (ledgers) => {
      const ledger = ledgers.get(FOO)
      return isWhole(ledger, SECOND) && TAGS.every((tag) => ledger?.tags.get(tag) === SECOND.digest)
    },
  },
  {
    name: 'push of an index with its image',
    before: done,
    run: (client) => client.push(FOO, INDEX, [...TAGS]),
    isDone: (ledgers) => isWhole(ledgers.get(FOO), INDEX),
  },
  {
    name: 'push of what was just deleted',
    before: async (client) => {
      await client.push(FOO, FIRST, [])
      await client.deleteManifest(FOO, FIRST)
      return client.deleteBlob(FOO, A)
    },
    run: (client) => client.push(FOO, FIRST, [...TAGS]),
    isDone: (ledgers) => isWhole(ledgers.get(FOO), FIRST),
  },
  {
    name: 'mount',
    before: (client) => client.push(OTHER, FIRST, [...TAGS]),
    run: (client) => client.mount(FOO, A, OTHER),
    isDone: (ledgers) => ledgers.get(FOO)?.held.has(A.digest) === true,
  },
  {
    name: 'delete of a blob',
    before: async (client) => {
      await client.push(OTHER, FIRST, [])
      return client.push(FOO, FIRST, [])
    },
    run: (client) => client.deleteBlob(FOO, A),
    isDone: (ledgers) => ledgers.get(FOO)?.held.has(A.digest) === false,
  },
  {
    name: 'delete of a blob, until its bytes are gone',
    before: (client) => client.upload(FOO, A),
    run: (client) => client.deleteBlob(FOO, A),
    isDone: (ledgers) => ledgers.get(FOO)?.held.has(A.digest) === false,
    lasts: 3 * GRACE,
  },
  {
    name: 'delete of a manifest',
    before: (client) => client.push(FOO, FIRST, [...TAGS]),
    run: (client) => client.deleteManifest(FOO, FIRST),
    isDone: (ledgers) => {
      const ledger = ledgers.get(FOO)
      return ledger?.manifests.length === 0 && ledger.tags.size === 0
    },
  },
  {
    name: 'delete of a tag',
    before: (client) => client.push(FOO, FIRST, [...TAGS]),
    run: async (client) => (LATEST === undefined ? 'failed' : client.deleteTag(FOO, LATEST)),
    isDone: (ledgers) => ledgers.get(FOO)?.tags.has('latest') === false,
  },
]
