// The memory of an isolate: bounded, least recently used first out, and nothing for longer than it may.

import { describe, expect, it } from 'vitest'
import { Memory } from '../../src/storage/memory.ts'

const FOREVER = { size: 1, until: Infinity }

/** Which of the keys are held; looking is using, so each is looked at once. */
function held(memory: Memory<string>, ...keys: readonly string[]): string {
  return keys.filter((key) => memory.get(key, 0) !== undefined).join('')
}

function filled(limit: number, ...keys: readonly string[]): Memory<string> {
  const memory = new Memory<string>(limit)
  for (const key of keys) memory.put(key, key, FOREVER)
  return memory
}

describe('a memory', () => {
  it('gives back what it holds, and nothing else', () => {
    const memory = filled(2, 'a')
    expect(memory.get('a', 0)).toBe('a')
    expect(memory.get('b', 0)).toBeUndefined()
  })

  it('forgets the oldest when it is full', () => {
    expect(held(filled(2, 'a', 'b', 'c'), 'a', 'b', 'c')).toBe('bc')
  })

  it('keeps what was used', () => {
    const memory = filled(2, 'a', 'b')
    memory.get('a', 0)
    memory.put('c', 'c', FOREVER)
    expect(held(memory, 'a', 'b', 'c')).toBe('ac')
  })

  it('keeps what was written again', () => {
    const memory = filled(2, 'a', 'b', 'a', 'c')
    expect(held(memory, 'a', 'b', 'c')).toBe('ac')
  })

  it('counts sizes: a large value takes the place of several small ones', () => {
    const memory = filled(10, 'a', 'b', 'c')
    memory.put('d', 'd', { size: 9, until: Infinity })
    expect(held(memory, 'a', 'b', 'c', 'd')).toBe('cd')
  })

  it('does not count what it has forgotten, replaced or deleted', () => {
    const memory = filled(3, 'a', 'a', 'a', 'b')
    memory.delete('b')
    memory.delete('b')
    memory.put('c', 'c', { size: 2, until: Infinity })
    expect(held(memory, 'a', 'b', 'c')).toBe('ac')
  })

  it('forgets everything at once, and has all its room again', () => {
    const memory = filled(3, 'a', 'b', 'c')
    memory.clear()
    expect(held(memory, 'a', 'b', 'c')).toBe('')
    memory.put('d', 'd', { size: 3, until: Infinity })
    expect(held(memory, 'd')).toBe('d')
  })

  it('forgets by key, and has the room of that again', () => {
    const memory = filled(3, 'a', 'b', 'c')
    memory.deleteAll((key) => key !== 'b')
    memory.put('d', 'd', { size: 2, until: Infinity })
    expect(held(memory, 'a', 'b', 'c', 'd')).toBe('bd')
  })

  it('takes what is exactly as large as it is, alone', () => {
    const memory = filled(3, 'a')
    memory.put('b', 'b', { size: 3, until: Infinity })
    expect(held(memory, 'a', 'b')).toBe('b')
  })

  it('does not take what is larger than it is, and forgets nothing for it', () => {
    const memory = filled(3, 'a', 'b')
    memory.put('c', 'c', { size: 4, until: Infinity })
    expect(held(memory, 'a', 'b', 'c')).toBe('ab')
  })

  it('does not keep an old value in place of one that is too large', () => {
    const memory = filled(3, 'a')
    memory.put('a', 'new', { size: 4, until: Infinity })
    expect(memory.get('a', 0)).toBeUndefined()
  })

  it('ends when it is told to, and frees the room', () => {
    const memory = new Memory<string>(1)
    memory.put('a', 'a', { size: 1, until: 1000 })
    expect(memory.get('a', 999)).toBe('a')
    expect(memory.get('a', 1000)).toBeUndefined()
    expect(memory.get('a', 999)).toBeUndefined()
    memory.put('b', 'b', { size: 1, until: 1000 })
    expect(memory.get('b', 0)).toBe('b')
  })
})
