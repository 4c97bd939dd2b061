// Reading a source with patience: nothing is lost by a read that did not come in time.

import { describe, expect, it } from 'vitest'
import { Bytes } from '../../src/mirror/bytes.ts'
import { LATE } from '../../src/mirror/patience.ts'

/** A source that gives these when it is told to. */
function source() {
  const reads: ((chunk: Uint8Array | undefined | Error) => void)[] = []
  let pending = 0
  return {
    read: () => {
      pending += 1
      expect(pending).toBe(1)
      return new Promise<Uint8Array | undefined>((resolve, reject) => {
        reads.push((chunk) => {
          pending -= 1
          if (chunk instanceof Error) reject(chunk)
          else resolve(chunk)
        })
      })
    },
    give: (...bytes: number[]) => reads.shift()?.(new Uint8Array(bytes)),
    end: () => reads.shift()?.(undefined),
    fail: () => reads.shift()?.(new Error('cut')),
  }
}

/** A source of chunks that are there. */
function ready(...chunks: number[][]) {
  const rest = chunks.map((chunk) => new Uint8Array(chunk))
  return { read: async () => rest.shift() }
}

describe('next', () => {
  it('keeps a read that was late for the next call', async () => {
    const from = source()
    const bytes = new Bytes(from)
    expect(await bytes.next(1)).toBe(LATE)
    expect(await bytes.next(1)).toBe(LATE)
    from.give(1, 2)
    expect(await bytes.next(1000)).toEqual(new Uint8Array([1, 2]))
    const end = bytes.next(1000)
    from.end()
    expect(await end).toBeUndefined()
  })

  it('reports a failure that came while nobody waited', async () => {
    const from = source()
    const bytes = new Bytes(from)
    expect(await bytes.next(1)).toBe(LATE)
    from.fail()
    await expect(bytes.next(1000)).rejects.toThrow('cut')
  })
})

describe('readAll', () => {
  it.each([
    { name: 'nothing', chunks: [], limit: 4, want: [], isWhole: true },
    {
      name: 'up to the limit',
      chunks: [
        [1, 2],
        [3, 4],
      ],
      limit: 4,
      want: [1, 2, 3, 4],
      isWhole: true,
    },
    {
      name: 'beyond it',
      chunks: [[1, 2], [3, 4, 5], [6]],
      limit: 4,
      want: [1, 2, 3, 4, 5],
      isWhole: false,
    },
    { name: 'an empty chunk', chunks: [[], [1]], limit: 4, want: [1], isWhole: true },
  ])('$name', async ({ chunks, limit, want, isWhole }) => {
    const bytes = new Bytes(ready(...chunks))
    expect(await bytes.readAll(limit, 1000)).toEqual({ bytes: new Uint8Array(want), isWhole })
    if (!isWhole) expect(await bytes.next(1000)).toEqual(new Uint8Array([6]))
  })

  it('returns what is there when time is up, and loses nothing', async () => {
    const from = source()
    const bytes = new Bytes(from)
    const all = bytes.readAll(10, 30)
    from.give(1, 2)
    expect(await all).toEqual({ bytes: new Uint8Array([1, 2]), isWhole: false })
    from.give(3)
    expect(await bytes.next(1000)).toEqual(new Uint8Array([3]))
  })
})
