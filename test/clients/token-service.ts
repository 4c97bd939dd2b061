// A token service as docker-registry's `auth: token` wants one: it signs what is asked for, counts who
// asked, and refuses a credential, or everybody, when a row says so.

import { createPrivateKey, type KeyObject, randomUUID, sign, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { serve } from './loopback-server.ts'
import type { Workspace } from './process.ts'
import type { TokenSettings } from './upstream.ts'

const SERVICE = 'upstream of the test'
const ISSUER = 'token service of the test'
const LIFETIME = 300

/** A request for a token. */
export interface TokenRequest {
  readonly username: string | undefined
  readonly scopes: readonly string[]
  readonly status: number
}

/** The username and password that the service knows. */
export const LOGIN = { username: 'mirror', password: 'of-the-test' } as const

/** A running token service. */
export class TokenService {
  readonly requests: TokenRequest[] = []
  /** Every token it has given. */
  readonly given: string[] = []
  readonly settings: TokenSettings
  /** Whom it refuses: nobody, whoever shows the credential, or everybody. */
  refuses: 'nobody' | 'credential' | 'everybody' = 'nobody'
  readonly #key: KeyObject
  readonly #certificate: X509Certificate

  private constructor(key: KeyObject, certificate: X509Certificate, settings: TokenSettings) {
    this.#key = key
    this.#certificate = certificate
    this.settings = settings
  }

  /** The challenge of a registry that sends its clients here. */
  get challenge(): string {
    return `Bearer realm="${this.settings.realm}",service="${this.settings.service}"`
  }

  static async start(workspace: Workspace): Promise<TokenService> {
    const keyFile = join(workspace.folder, 'token.key')
    const certificateFile = join(workspace.folder, 'token.crt')
    await workspace.run({
      command: 'openssl',
      args: [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
      ].concat(['-keyout', keyFile, '-out', certificateFile, '-days', '2', '-subj', '/CN=token']),
    })
    let service: TokenService | undefined
    const { url } = await serve(workspace, (request, response) =>
      service?.answer(request, response),
    )
    service = new TokenService(
      createPrivateKey(await readFile(keyFile)),
      new X509Certificate(await readFile(certificateFile)),
      { realm: `${url}/token`, service: SERVICE, issuer: ISSUER, certificate: certificateFile },
    )
    return service
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const query = new URL(request.url ?? '/', 'http://loopback').searchParams
    const scopes = query.getAll('scope').flatMap((scope) => scope.split(' '))
    const login = parseBasic(request.headers.authorization)
    const status = this.#isRefused(login) ? 401 : 200
    this.requests.push({ username: login?.username, scopes, status })
    response.writeHead(status, { 'Content-Type': 'application/json' })
    if (status === 401) {
      response.end(
        '{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}',
      )
      return
    }
    const token = this.#mint(login?.username ?? '', scopes)
    this.given.push(token)
    const issued = new Date().toISOString()
    response.end(
      JSON.stringify({ token, access_token: token, expires_in: LIFETIME, issued_at: issued }),
    )
  }

  #isRefused(login: { username: string; password: string } | undefined): boolean {
    if (this.refuses === 'everybody') return true
    if (login === undefined) return false
    const isKnown = login.username === LOGIN.username && login.password === LOGIN.password
    return !isKnown || this.refuses === 'credential'
  }

  #mint(subject: string, scopes: readonly string[]): string {
    const now = Math.floor(Date.now() / 1000)
    const header = {
      typ: 'JWT',
      alg: 'ES256',
      x5c: [this.#certificate.raw.toString('base64')],
    }
    const claims = {
      iss: ISSUER,
      sub: subject,
      aud: SERVICE,
      iat: now,
      nbf: now - 5,
      exp: now + LIFETIME,
      jti: randomUUID(),
      access: scopes.flatMap(grantOf),
    }
    const signed = [header, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    const signature = sign('sha256', Buffer.from(signed), {
      key: this.#key,
      dsaEncoding: 'ieee-p1363',
    })
    return `${signed}.${signature.toString('base64url')}`
  }
}

function grantOf(scope: string): { type: string; name: string; actions: string[] }[] {
  const [, type, name, actions] = /^([a-z]+):(.+):([^:]+)$/.exec(scope) ?? []
  if (type === undefined || name === undefined || actions === undefined) return []
  return [{ type, name, actions: actions.split(',').filter((action) => action === 'pull') }]
}

function parseBasic(
  header: string | undefined,
): { username: string; password: string } | undefined {
  const [scheme, encoded] = (header ?? '').split(' ')
  if (scheme?.toLowerCase() !== 'basic' || encoded === undefined) return undefined
  const [username = '', ...password] = Buffer.from(encoded, 'base64').toString().split(':')
  return { username, password: password.join(':') }
}
