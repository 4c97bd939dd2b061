// A static Linux executable that prints one line and ends with 0, written byte by byte: the images of this
// suite can be run, without a compiler, a libc or a network, on both machines that Workers' users have.

/** The architectures an image can be made for, in the words of the image spec. */
export type Architecture = 'amd64' | 'arm64'

const BASE = 0x400000n
const HEADERS = 64 + 56

/** The executable's bytes. */
export function printingProgram(architecture: Architecture, line: string): Uint8Array<ArrayBuffer> {
  const message = Buffer.from(`${line}\n`)
  const code = architecture === 'amd64' ? codeAMD64(message.length) : codeARM64(message.length)
  const size = HEADERS + code.length + message.length
  return Buffer.concat([headers(architecture === 'amd64' ? 62 : 183, size), code, message])
}

/** write(1, message, length); exit(0). The message follows the code. */
function codeAMD64(length: number): Buffer {
  const code = Buffer.from(
    'b801000000bf01000000488d3500000000ba000000000f05b83c00000031ff0f05',
    'hex',
  )
  code.writeInt32LE(code.length - 17, 13) // lea rsi, [rip + distance to the message]
  code.writeUInt32LE(length, 18) // mov edx, length
  return code
}

function codeARM64(length: number): Buffer {
  const words = [
    0xd2800020, // mov x0, #1
    0x10000001 | (7 << 5), // adr x1, message (7 words on)
    0xd2800002 | (length << 5), // mov x2, #length
    0xd2800808, // mov x8, #64 (write)
    0xd4000001, // svc #0
    0xd2800000, // mov x0, #0
    0xd2800ba8, // mov x8, #93 (exit)
    0xd4000001, // svc #0
  ]
  const code = Buffer.alloc(words.length * 4)
  for (const [index, word] of words.entries()) code.writeUInt32LE(word >>> 0, index * 4)
  return code
}

/** ELF header and one program header that maps the whole file, readable and executable. */
function headers(machine: number, size: number): Buffer {
  const header = Buffer.alloc(HEADERS)
  header.write('\x7fELF\x02\x01\x01', 'latin1')
  header.writeUInt16LE(2, 16) // executable
  header.writeUInt16LE(machine, 18)
  header.writeUInt32LE(1, 20)
  header.writeBigUInt64LE(BASE + BigInt(HEADERS), 24) // entry point
  header.writeBigUInt64LE(64n, 32) // program headers start here
  header.writeUInt16LE(64, 52)
  header.writeUInt16LE(56, 54)
  header.writeUInt16LE(1, 56)
  header.writeUInt16LE(64, 58)
  header.writeUInt32LE(1, 64) // PT_LOAD
  header.writeUInt32LE(5, 68) // read, execute
  header.writeBigUInt64LE(BASE, 80)
  header.writeBigUInt64LE(BASE, 88)
  header.writeBigUInt64LE(BigInt(size), 96)
  header.writeBigUInt64LE(BigInt(size), 104)
  header.writeBigUInt64LE(0x1000n, 112)
  return header
}
