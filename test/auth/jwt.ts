// Tokens as anybody can write them: any header, any claims, signed or not.

/** A key pair, and what is published of it. */
export interface Pair {
  readonly kid: string
  readonly privateKey: CryptoKey
  readonly publicJWK: JsonWebKey
}

const ALGORITHM = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  RS256: {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
} as const

/** Makes a key pair. */
export async function createPair(alg: keyof typeof ALGORITHM, kid: string): Promise<Pair> {
  const pair = (await crypto.subtle.generateKey(ALGORITHM[alg], true, [
    'sign',
    'verify',
  ])) as CryptoKeyPair
  const publicJWK = (await crypto.subtle.exportKey('jwk', pair.publicKey)) as JsonWebKey
  return { kid, privateKey: pair.privateKey, publicJWK }
}

/** The private key of a JWK. */
export async function importPrivate(jwk: JsonWebKey): Promise<CryptoKey> {
  return await crypto.subtle.importKey('jwk', jwk, ALGORITHM.ES256, false, ['sign'])
}

/** A token of these parts; what is text already goes in as it is. */
export async function writeToken(
  header: unknown,
  claims: unknown,
  key?: CryptoKey | ((data: Uint8Array) => Promise<ArrayBuffer>),
): Promise<string> {
  const data = `${encodePart(header)}.${encodePart(claims)}`
  if (key === undefined) return `${data}.`
  const bytes = new TextEncoder().encode(data)
  const signature =
    typeof key === 'function'
      ? await key(bytes)
      : await crypto.subtle.sign({ name: key.algorithm.name, hash: 'SHA-256' }, key, bytes)
  return `${data}.${encode(new Uint8Array(signature))}`
}

/** Signs with HMAC, as whoever takes the public key for a shared secret would. */
export function hmac(
  hash: 'SHA-256' | 'SHA-512',
  secret: string,
): (data: Uint8Array) => Promise<ArrayBuffer> {
  return async (data) => {
    const bytes = new TextEncoder().encode(secret)
    const key = await crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash }, false, ['sign'])
    return await crypto.subtle.sign('HMAC', key, data)
  }
}

/** The parts of a token that was made here, unverified. */
export function readToken(token: string): readonly [header: Claims, claims: Claims] {
  const [header = '', claims = ''] = token.split('.')
  return [decode(header), decode(claims)]
}

/** What stands in one. */
export type Claims = Readonly<Record<string, unknown>>

function encodePart(part: unknown): string {
  const text = typeof part === 'string' ? part : JSON.stringify(part)
  return encode(new TextEncoder().encode(text))
}

function encode(bytes: Uint8Array): string {
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function decode(part: string): Claims {
  return JSON.parse(atob(part.replaceAll('-', '+').replaceAll('_', '/'))) as Claims
}
