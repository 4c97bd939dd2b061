// An issuer of ID tokens, as a CI system is one: it publishes its key and signs what a job is.

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { serve } from './loopback-server.ts'
import type { Workspace } from './process.ts'

/** Whom its tokens are for. */
export const AUDIENCE = 'entrepot of the test'

const KID = 'of-the-test'
const LIFETIME = 300

/** A running issuer. */
export class IDIssuer {
  readonly url: string
  /** Every token it has signed. */
  readonly given: string[] = []
  readonly #key: KeyObject

  private constructor(url: string, key: KeyObject) {
    this.url = url
    this.#key = key
  }

  static async start(workspace: Workspace): Promise<IDIssuer> {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const key = { ...publicKey.export({ format: 'jwk' }), kid: KID, alg: 'RS256', use: 'sig' }
    const { url } = await serve(workspace, (request, response) => {
      const documents = {
        '/.well-known/openid-configuration': { issuer: url, jwks_uri: `${url}/keys` },
        '/keys': { keys: [key] },
      } as Readonly<Record<string, object>>
      const document = documents[request.url ?? '']
      response.writeHead(document === undefined ? 404 : 200, { 'Content-Type': 'application/json' })
      response.end(JSON.stringify(document ?? {}))
    })
    return new IDIssuer(url, privateKey)
  }

  /** What a job of a repository gets. */
  sign(repository: string): string {
    const now = Math.floor(Date.now() / 1000)
    const header = { alg: 'RS256', kid: KID, typ: 'JWT' }
    const claims = {
      iss: this.url,
      sub: `repo:${repository}:ref:refs/heads/main`,
      aud: AUDIENCE,
      iat: now,
      nbf: now,
      exp: now + LIFETIME,
      repository,
    }
    const signed = [header, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    const signature = sign('sha256', Buffer.from(signed), this.#key).toString('base64url')
    const token = `${signed}.${signature}`
    this.given.push(token)
    return token
  }
}
