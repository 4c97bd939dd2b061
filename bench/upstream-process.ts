// The process of the upstream, so that its CPU and memory are not the mirror's.

import { answerCalls } from './call.ts'
import { type AddressedBlob, type Blob, type Image, addressBlob, imageOf } from './content.ts'
import { CountingUpstream } from './counting-upstream.ts'
import { type Tally, emptyTally } from './tally.ts'

const upstream = new CountingUpstream()

const calls = {
  /** Starts to listen; returns the base URL. */
  listen: async (): Promise<string> => {
    await upstream.listen()
    return upstream.url
  },
  stop: (): Promise<void> => upstream.stop(),
  addBlob: (blob: Blob): AddressedBlob => {
    const addressed = addressBlob(blob)
    upstream.addBlob(addressed)
    return addressed
  },
  /** Adds an image of these blobs under each of the tags, each a manifest of its own. */
  addImages: (wish: {
    readonly repository: string
    readonly tags: readonly string[]
    readonly blobs: readonly Blob[]
  }): readonly Image[] => {
    const blobs = wish.blobs.map(addressBlob)
    return wish.tags.map((tag) => {
      const image = imageOf(blobs, tag)
      upstream.addImage(wish.repository, tag, image)
      return image
    })
  },
  /** Bytes per second; `undefined`: no limit. */
  setRate: (rate: number | undefined): void => {
    upstream.link.rate = rate
  },
  /** Manifest GETs before 429; `undefined`: no limit. */
  setBudget: (limit: number | undefined): void => {
    upstream.budget = limit === undefined ? undefined : { limit, remaining: limit }
  },
  tally: (): Tally => upstream.tally,
  forget: (): void => {
    upstream.tally = emptyTally()
  },
}

/** What this process offers. */
export type UpstreamCalls = typeof calls

answerCalls(calls)
