// Digests: the one place where text becomes a Digest and where bytes get theirs. Only the
// algorithms that can be verified here are digests; a descriptor's foreign algorithms are
// descriptor.ts's concern.

declare const brand: unique symbol

/**
 * `sha256:<64 hex>` or `sha512:<128 hex>`, in lower case: one spelling, so it can be a storage key.
 */
export type Digest = string & { readonly [brand]: 'Digest' }

/** The registered algorithms that WebCrypto can compute. */
export type Algorithm = 'sha256' | 'sha512'

const WEB_CRYPTO_NAME = { sha256: 'SHA-256', sha512: 'SHA-512' } as const satisfies Record<
  Algorithm,
  string
>

/*
 * image-spec v1.1.1, "Digests":
 *   digest    ::= algorithm ":" encoded
 *   sha256    ::= /[a-f0-9]{64}/
 *   sha512    ::= /[a-f0-9]{128}/
 */
const DIGEST = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/**
 * Parses a digest of a supported algorithm; upper-case hex is none (image-spec v1.1.1, "SHA-256").
 */
export function parseDigest(text: string): Digest | undefined {
  return isDigest(text) ? text : undefined
}

function isDigest(text: string): text is Digest {
  return DIGEST.test(text)
}

/** The part before the colon. */
export function algorithmOf(digest: Digest): Algorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

/**
 * The part after the colon: the hash in lower-case hex. Both algorithm names are six letters long.
 */
export function encodedOf(digest: Digest): string {
  return digest.slice('sha256:'.length)
}

/**
 * Hashes bytes that are in memory; streams are hashed by whoever reads them, who then calls
 * `formatDigest`.
 */
export async function digestOf(
  bytes: Uint8Array,
  algorithm: Algorithm = 'sha256',
): Promise<Digest> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only views of shared memory are left out, which nothing here creates
  const view = bytes as Uint8Array<ArrayBuffer>
  return formatDigest(algorithm, await crypto.subtle.digest(WEB_CRYPTO_NAME[algorithm], view))
}

/** Writes a raw hash as the digest of its algorithm. */
export function formatDigest(algorithm: Algorithm, hash: ArrayBuffer): Digest {
  let encoded = ''
  for (const byte of new Uint8Array(hash)) {
    encoded += HEX[byte]
  }
  const digest = `${algorithm}:${encoded}`
  if (!isDigest(digest)) {
    throw new TypeError(`${hash.byteLength} bytes are no ${algorithm} hash`)
  }
  return digest
}

/** The raw hash, as object storage wants it for its own check. */
export function digestBytes(digest: Digest): Uint8Array {
  const encoded = encodedOf(digest)
  const bytes = new Uint8Array(encoded.length / 2)
  for (let index = 0; index < bytes.length; index++) {
    bytes[index] = Number.parseInt(encoded.slice(index * 2, index * 2 + 2), 16)
  }
  return bytes
}
