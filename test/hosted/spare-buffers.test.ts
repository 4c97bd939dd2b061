// Second buffers are lent to so many uploads at once, and come back also from those that died with them.

import { describe, expect, it } from 'vitest'
import { SpareBuffers } from '../../src/hosted/spare-buffers.ts'

describe('second buffers', () => {
  it('are lent to as many as there are, and to others when they come back', () => {
    const buffers = new SpareBuffers(2)
    const [a, b, c] = [{}, {}, {}]
    expect([a, b, c].map((user) => buffers.take(user, 0))).toEqual([true, true, false])
    expect(buffers.take(a, 1)).toBe(true)
    buffers.give(a)
    expect(buffers.take(c, 2)).toBe(true)
    expect(buffers.take(a, 3)).toBe(false)
  })

  it('are taken from whoever has not used his for a minute', () => {
    const buffers = new SpareBuffers(1)
    const [dead, next] = [{}, {}]
    expect(buffers.take(dead, 0)).toBe(true)
    expect(buffers.take(next, 60_000)).toBe(false)
    expect(buffers.take(next, 60_001)).toBe(true)
    expect(buffers.take(dead, 60_002)).toBe(false)
  })
})
