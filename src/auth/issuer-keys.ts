// The keys that the issuers of ID tokens publish: where they are found, how much of an issuer's answers is
// believed, for how long they are used, and how often an issuer is asked.

import { HEADER } from '../oci/header.ts'
import { isLoopbackHost } from '../oci/host.ts'
import { isJSONObject, parseJSONObject } from '../oci/json-object.ts'
import { OutboundError, discardBody, readWhole } from '../outbound.ts'
import type { OutboundRequest } from '../outbound.ts'
import type { Log, Now } from '../seams.ts'
import type { WebKey } from './token.ts'

/**
 * Asks an issuer for a JSON document. Rejects unless there is one of a fair size at this very URL: no
 * redirect is followed.
 */
export type FetchJSON = (url: string) => Promise<unknown>

/** Which key of which issuer a token says it was signed with. */
export interface KeyQuestion {
  readonly issuer: string
  readonly kid: string
  /** `RSA` or `EC`: a key is used for one algorithm only. */
  readonly kty: string
}

/** Bytes of a document that an issuer publishes. */
const MAX_DOCUMENT = 256 * 1024
/** Milliseconds for one document, its body included. */
const WITHIN = 5000
/** For how long keys are used, and how soon they are asked for again (milliseconds). */
const KEYS_TTL = 10 * 60 * 1000
const KEYS_PAUSE = 60 * 1000
/** For how long an issuer that could not be asked is left alone (milliseconds). */
const FAILURE_PAUSE = 10 * 1000

interface PublishedKey {
  readonly kid: string
  readonly kty: string
  readonly jwk: WebKey
}

/** What is known of the keys of an issuer: since when, and when it was asked, and failed, last. */
interface Known {
  readonly keys: readonly PublishedKey[] | undefined
  readonly at: number
  readonly askedAt: number
  readonly failedAt: number
}

const NOTHING_KNOWN: Known = {
  keys: undefined,
  at: -Infinity,
  askedAt: -Infinity,
  failedAt: -Infinity,
}

/** The keys of issuers, remembered for as long as this object. Whom to believe is for its owner to say. */
export class IssuerKeys {
  readonly #fetchJSON: FetchJSON
  readonly #now: Now
  readonly #log: Log
  /** By issuer. */
  readonly #known = new Map<string, Known>()

  constructor(given: { readonly fetchJSON: FetchJSON; readonly now: Now; readonly log: Log }) {
    this.#fetchJSON = given.fetchJSON
    this.#now = given.now
    this.#log = given.log
  }

  /** The key; or that the issuer publishes no such key, or cannot be asked. */
  async find(question: KeyQuestion): Promise<WebKey | 'unavailable' | 'unknown-key'> {
    const known = this.#known.get(question.issuer)
    const now = this.#now()
    if (known?.keys !== undefined && now - known.at < KEYS_TTL) {
      const key = findKey(known.keys, question)
      if (key !== undefined) return key
      // Anybody can make up ids of keys, so what does not exist is not looked for each time.
      if (now - known.askedAt < KEYS_PAUSE) return 'unknown-key'
    } else if (known !== undefined && now - known.failedAt < FAILURE_PAUSE) {
      return 'unavailable'
    }
    const keys = await this.#ask(question.issuer)
    return keys === undefined ? 'unavailable' : (findKey(keys, question) ?? 'unknown-key')
  }

  /** The keys that the issuer publishes now. Not shared: no request of a Worker can wait for another's. */
  async #ask(issuer: string): Promise<readonly PublishedKey[] | undefined> {
    this.#learn(issuer, { askedAt: this.#now() })
    try {
      const keys = await this.#fetchKeys(issuer)
      this.#learn(issuer, { keys, at: this.#now() })
      return keys
    } catch (error) {
      // Whatever went wrong, the issuer gave no keys; the old ones are good until their time is over.
      this.#learn(issuer, { failedAt: this.#now() })
      this.#log('oidc-issuer-failed', { issuer, reason: String(error) })
      return undefined
    }
  }

  /** Others may have learnt something meanwhile, which stays. */
  #learn(issuer: string, news: Partial<Known>): void {
    this.#known.set(issuer, { ...NOTHING_KNOWN, ...this.#known.get(issuer), ...news })
  }

  /** OpenID Connect Discovery 1.0, section 4; the keys come from the very origin of the issuer. */
  async #fetchKeys(issuer: string): Promise<readonly PublishedKey[]> {
    const { origin } = allowedURL(issuer)
    const base = issuer.replace(/\/$/, '')
    const configuration = await this.#fetchJSON(`${base}/.well-known/openid-configuration`)
    // Section 4.3: the issuer MUST be identical to the one that was asked for.
    if (!isJSONObject(configuration) || configuration['issuer'] !== issuer) {
      throw new TypeError('the issuer does not describe itself')
    }
    const jwksURI = allowedURL(configuration['jwks_uri'])
    if (jwksURI.origin !== origin) throw new TypeError('the keys are at another origin')
    const document = await this.#fetchJSON(jwksURI.href)
    const keys = isJSONObject(document) ? document['keys'] : undefined
    if (!Array.isArray(keys)) throw new TypeError('the issuer publishes no keys')
    return keys.flatMap((key: unknown) => parseKey(key) ?? [])
  }
}

/** Reads the documents of issuers, `send` being that of `Outbound`. A redirect is not followed. */
export function readDocuments(send: (request: OutboundRequest) => Promise<Response>): FetchJSON {
  return async (url) => {
    const { host, hostname } = new URL(url)
    const response = await send({
      url,
      method: 'GET',
      headers: { [HEADER.accept]: 'application/json' },
      isLocal: isLoopbackHost(hostname),
      maxHops: 0,
      within: WITHIN,
    })
    if (response.status !== 200) {
      await discardBody(response)
      throw new OutboundError('network', `${host} answered ${response.status}`)
    }
    return parseJSONObject(await readWhole(response, MAX_DOCUMENT, WITHIN))?.members
  }
}

function findKey(keys: readonly PublishedKey[], { kid, kty }: KeyQuestion): WebKey | undefined {
  return keys.find((key) => key.kid === kid && key.kty === kty)?.jwk
}

/** Only public keys of the two kinds, and of those only what makes the key. */
function parseKey(value: unknown): PublishedKey | undefined {
  if (!isJSONObject(value)) return undefined
  const { kid, kty, use, n, e, crv, x, y } = value
  if (typeof kid !== 'string' || (use !== undefined && use !== 'sig')) return undefined
  if (kty === 'RSA' && typeof n === 'string' && typeof e === 'string') {
    return { kid, kty, jwk: { kty, n, e } }
  }
  if (kty !== 'EC' || crv !== 'P-256') return undefined
  if (typeof x !== 'string' || typeof y !== 'string') return undefined
  return { kid, kty, jwk: { kty, crv, x, y } }
}

/** https, or this machine itself. */
function allowedURL(text: unknown): URL {
  const url = typeof text === 'string' ? URL.parse(text) : null
  if (url === null || url.username !== '' || url.password !== '') {
    throw new TypeError('an issuer has an invalid URL')
  }
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopbackHost(url.hostname))) {
    throw new TypeError('an issuer is not asked but by https')
  }
  return url
}
