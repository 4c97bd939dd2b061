// The whole way of an upload, with a failure at each of its steps: storage or another object refuses, or its answer
// is lost, or the object dies there. The client goes on where the session says that it is; in the end its blob is
// stored once, and nothing else is (faults.md F 107).

import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import type { UploadGiven } from '../../src/hosted/upload-session.ts'
import type { CloseAnswer } from '../../src/hosted/upload.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { storageIsAway } from '../support/broken.ts'
import {
  PART,
  bodyOf,
  chunkAt,
  expectStored,
  inSession,
  noise,
  watchBucket,
} from '../support/upload.ts'
import type { Session, WatchedBucket } from '../support/upload.ts'

afterEach(() => reset())

const MODES = ['refuses', 'answers in vain', 'kills before', 'kills after'] as const
type Mode = (typeof MODES)[number]

/** Steps of an upload, as they are done; one of them fails. */
class FailingSteps {
  readonly done: string[] = []
  readonly watched: WatchedBucket
  readonly #at: number
  readonly #mode: Mode
  #state: DurableObjectState | undefined

  constructor(at: number, mode: Mode) {
    this.#at = at
    this.#mode = mode
    this.watched = watchBucket((step, run) => this.#step(step, run))
  }

  /**
   * Whether the object died, or heard nothing, in the moment in which R2 began a multipart upload: nobody can name
   * that one, and R2 ends it after a week.
   */
  get isIdLost(): boolean {
    const isKilledSoon = this.#mode === 'kills before' && this.done[this.#at - 1] === 'create'
    return isKilledSoon || (this.#mode !== 'refuses' && this.done[this.#at] === 'create')
  }

  /** What a session is given, so that each step passes here. */
  change(given: UploadGiven, state: DurableObjectState): Partial<UploadGiven> {
    this.#state = state
    return {
      bucket: this.watched.bucket,
      adopt: (digest, content) => this.#step('adopt', () => given.adopt(digest, content)),
      hold: (digest) => this.#step('hold', () => given.hold(digest)),
    }
  }

  async #step<Value>(step: string, run: () => Promise<Value>): Promise<Value> {
    const isFailing = this.done.length === this.#at
    this.done.push(step)
    if (!isFailing) return run()
    if (this.#mode === 'answers in vain' || this.#mode === 'kills after') await run()
    if (this.#mode.startsWith('kills')) {
      this.#state?.abort('killed by the test')
      return new Promise(() => undefined)
    }
    return storageIsAway()
  }
}

/** Does what a client does that has the bytes: asks how far it is, and goes on from there. */
async function goOn(
  { upload }: Session,
  { bytes, digest, chunk }: { bytes: Uint8Array; digest: Digest; chunk: number },
): Promise<CloseAnswer> {
  for (;;) {
    const status = await upload.status()
    // Unknown as well when it is done: the answer of the PUT was lost.
    const offset = status.ok ? status.offset : bytes.byteLength
    if (offset === bytes.byteLength) return upload.close(closing(digest), null)
    const piece = bytes.subarray(offset, offset + chunk)
    const answer = await upload.append(chunkAt(offset, piece.byteLength), bodyOf([piece]))
    expect(answer).toEqual({ ok: true, offset: offset + piece.byteLength })
  }
}

const closing = (digest: Digest) => ({ range: undefined, length: 0, digest })

/** One upload; returns how many steps it took, and how often the client had to begin again. */
async function push(
  size: number,
  failure: { readonly at: number; readonly mode: Mode },
): Promise<{ readonly steps: readonly string[]; readonly tries: number }> {
  const { bytes, digest } = await noise(size)
  const steps = new FailingSteps(failure.at, failure.mode)
  const name = crypto.randomUUID()
  const options = { change: steps.change.bind(steps) }
  await inSession(({ upload }) => upload.open(), options, name)
  let tries = 0
  let answer: CloseAnswer | undefined
  while (answer === undefined) {
    tries += 1
    expect(tries).toBeLessThan(4)
    answer = await inSession(
      (session) => goOn(session, { bytes, digest, chunk: PART - 5 }),
      options,
      name,
    ).catch(() => undefined)
  }
  expect(answer).toEqual({ ok: true, size })
  await expectStored(bytes, digest)
  expect(steps.watched.open.size).toBeLessThanOrEqual(steps.isIdLost ? 1 : 0)
  return { steps: steps.done, tries }
}

describe('an upload of which a step fails is stored all the same', () => {
  it.each(
    MODES.flatMap((mode) => [
      { mode, name: 'below a part', size: 1000, steps: ['put', 'adopt', 'hold'] },
      {
        mode,
        name: 'of a part and a tail',
        size: PART + 10,
        steps: ['create', 'uploadPart', 'uploadPart', 'complete', 'adopt', 'hold'],
      },
      {
        mode,
        name: 'of a part alone',
        size: PART,
        steps: ['create', 'uploadPart', 'complete', 'adopt', 'hold'],
      },
    ]),
  )('$name, when each step in turn $mode', async ({ mode, size, steps }) => {
    for (let at = 0; at < steps.length; at++) {
      const { steps: done, tries } = await push(size, { at, mode })
      expect(done.slice(0, at + 1)).toEqual(steps.slice(0, at + 1))
      // A completion whose answer is lost is recognised at once.
      const isRecognised = mode === 'answers in vain' && steps[at] === 'complete'
      expect(tries).toBe(isRecognised ? 1 : 2)
      await reset()
    }
  })
})

describe('an upload whose hash was lost', () => {
  it.each(MODES)(
    'is stored all the same when the read, or what comes after it, %s',
    async (mode) => {
      for (const at of [4, 5, 6]) {
        const { bytes, digest } = await noise(PART + 10)
        const steps = new FailingSteps(at, mode)
        const name = crypto.randomUUID()
        const options = { change: steps.change.bind(steps) }
        await inSession(
          async ({ upload, append }) => {
            await upload.open()
            await append(bytes)
          },
          options,
          name,
        )
        const close = () => inSession((session) => session.close(digest), options, name)
        expect(await close().catch(() => 'failed')).toBe('failed')
        expect(await close()).toEqual({ ok: true, size: PART + 10 })
        const want = ['create', 'uploadPart', 'uploadPart', 'complete', 'get', 'adopt', 'hold']
        expect(steps.done.slice(0, at + 1)).toEqual(want.slice(0, at + 1))
        expect(steps.watched.open.size).toBe(0)
        await expectStored(bytes, digest)
        await reset()
      }
    },
  )
})
