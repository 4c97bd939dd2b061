// The bytes of sample layers: noise that compresses to nothing smaller, wrapped as a tar archive of
// one file.

const BLOCK = 512
const TRAILER = 2 * BLOCK

/** Noise that is the same for the same seed. */
export function sampleBytes(size: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(size / 4))
  let state = seed >>> 0
  // mulberry32
  for (let index = 0; index < words.length; index++) {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    words[index] = mixed ^ (mixed >>> 14)
  }
  return new Uint8Array(words.buffer, 0, size)
}

/**
 * A layer of exactly this size. From 1536 bytes up it is a tar archive of one file of noise; what
 * stands behind the two zero blocks that end an archive is ignored by its readers, and zero here.
 * Anything smaller is bare noise.
 */
export function sampleLayer(size: number, seed = 1): Uint8Array {
  const room = size - BLOCK - TRAILER
  if (room < 0) {
    return sampleBytes(size, seed)
  }
  const fileSize = room - (room % BLOCK)
  const layer = new Uint8Array(size)
  layer.set(tarHeader(`sample-${seed}`, fileSize))
  layer.set(sampleBytes(fileSize, seed), BLOCK)
  return layer
}

/** POSIX.1-1988 "ustar" header of a regular file of root's, from the epoch. */
function tarHeader(name: string, size: number): Uint8Array {
  const header = new Uint8Array(BLOCK)
  const write = (text: string, offset: number): void => {
    header.set(new TextEncoder().encode(text), offset)
  }
  write(name, 0)
  write('0000644\0', 100)
  write('0000000\0', 108)
  write('0000000\0', 116)
  write(`${size.toString(8).padStart(11, '0')}\0`, 124)
  write('00000000000\0', 136)
  write('        ', 148)
  write('0', 156)
  write('ustar', 257)
  write('00', 263)
  const sum = header.reduce((total, byte) => total + byte, 0)
  write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}
