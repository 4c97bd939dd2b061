// What came of one request, and what in it no registry says of itself: no connection, a page for people, an
// error of the edge, a redirect to somewhere else.

import { HEADER } from '../src/oci/header.ts'
import type { Trouble } from './doctor-finding.ts'

/** Something answered. */
export interface Answered {
  readonly kind: 'answered'
  readonly url: URL
  readonly status: number
  readonly headers: Headers
  /** The body, or as much of it as was asked for. */
  readonly bytes: Uint8Array
  readonly isWhole: boolean
  readonly milliseconds: number
}

/** Nobody did. */
export interface Unanswered {
  readonly kind: 'unanswered'
  readonly url: URL
  readonly reason: Reason
  /** In the words of the platform, e.g. `ECONNREFUSED`. */
  readonly code: string
  /** How long was waited at most (seconds). */
  readonly within: number
}

/** What came of one request. */
export type Answer = Answered | Unanswered

/** Why there is no answer. */
export type Reason =
  | 'dns'
  | 'refused'
  | 'unreachable'
  | 'timeout'
  | 'certificate'
  | 'tls'
  | 'closed'
  | 'cut'
  | 'other'

/** An answer that is one: neither page nor edge error nor redirect. */
export type Checked =
  | { readonly answered: Answered; readonly trouble?: undefined }
  | { readonly answered?: undefined; readonly trouble: Trouble }

/** Tells an answer of a server that means it from everything that only comes instead of one. */
export function checkAnswer(answer: Answer): Checked {
  if (answer.kind === 'unanswered') return { trouble: SILENCE[answer.reason](answer) }
  const trouble = troubleOfEdge(answer) ?? troubleOfRedirect(answer) ?? troubleOfPage(answer)
  return trouble === undefined ? { answered: answer } : { trouble }
}

/** The same where a redirect is an answer too. */
export function checkDelivery(answer: Answer): Checked {
  if (answer.kind === 'answered' && isRedirect(answer)) return { answered: answer }
  return checkAnswer(answer)
}

/** Whether it sends the client elsewhere. */
export function isRedirect({ status, headers }: Answered): boolean {
  return status >= 300 && status < 400 && headers.has(HEADER.location)
}

/** Where it sends the client; undefined where that is no address. */
export function targetOf({ url, headers }: Answered): URL | undefined {
  const target = URL.parse(headers.get(HEADER.location) ?? '', url.href)
  return target !== null && /^https?:$/.test(target.protocol) ? target : undefined
}

/** The message of a registry's error, made safe to print; undefined where there is none. */
export function messageOf({ bytes }: Answered): string | undefined {
  const value = parseJSON(bytes)
  const errors: unknown = isObject(value) ? Reflect.get(value, 'errors') : undefined
  const [first]: readonly unknown[] = Array.isArray(errors) ? errors : []
  const message: unknown = isObject(first) ? Reflect.get(first, 'message') : undefined
  return typeof message === 'string' ? printable(message) : undefined
}

/** The object that a body of JSON is. */
export function objectOf({ bytes }: Answered): Readonly<Record<string, unknown>> | undefined {
  const value = parseJSON(bytes)
  return isObject(value) && !Array.isArray(value) ? { ...value } : undefined
}

/** What a stranger wrote, for a terminal: one short line without control characters. */
export function printable(text: string): string {
  return text
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, 120)
}

/** The text of a body. */
export function textOf({ bytes }: Answered): string {
  return new TextDecoder().decode(bytes)
}

const SILENCE: Readonly<Record<Reason, (silence: Unanswered) => Trouble>> = {
  dns: ({ url }) => ({
    says: `${url.hostname} does not resolve`,
    advice:
      'The name is misspelt or has no DNS record yet. The deploy that first names a custom domain makes one; that can take minutes.',
  }),
  refused: ({ url }) => ({
    says: `nothing listens on ${url.host}`,
    advice: 'Start the registry (npm start), or correct host and port.',
  }),
  unreachable: ({ url, code }) => ({
    says: `there is no way to ${url.host} (${code})`,
    advice: 'The network of this machine does not lead there: check VPN, proxy and firewall.',
  }),
  timeout: ({ url, within }) => ({
    says: `no answer from ${url.host} within ${within} s`,
    advice: 'A firewall drops the connection or the server hangs: try it from another network.',
  }),
  certificate: ({ url, code }) => ({
    says: `the certificate of ${url.hostname} is not accepted (${code})`,
    advice:
      'It has ended, is for another name, or its authority is not known here, and clients refuse it as well. An authority of your own: NODE_EXTRA_CA_CERTS=<file>.',
  }),
  tls: ({ url, code }) => ({
    says: `${url.host} does not speak TLS (${code})`,
    advice: 'It may speak http: use http:// on this machine, put TLS in front of it elsewhere.',
  }),
  closed: ({ url, code }) => ({
    says: `${url.host} closes the connection without an answer (${code})`,
    advice: 'No http server listens there, or one that wants https.',
  }),
  cut: ({ url, code }) => ({
    says: `the answer of ${url.host} breaks off (${code})`,
    advice:
      'A proxy in between, or the server, gave up in mid-answer: try again, then from another network.',
  }),
  other: ({ url, code }) => ({
    says: `${url.host} cannot be asked (${code})`,
    advice: 'Try the same with curl -v.',
  }),
}

const WAF = 'docs/deploy.md, "Bots and WAF", has the rule that lets registry clients through.'

/** Cloudflare's own error codes, of which these have one cause here. */
const EDGE: Readonly<Record<string, string>> = {
  '1010': `The browser integrity check refuses clients that are no browsers. ${WAF}`,
  '1015': `A rate limiting rule of the zone stops this client: exempt /v2, /token and /t, or raise it.`,
  '1016': 'The name leads to no origin: attach it to the Worker as a custom domain and deploy.',
  '1020': `A firewall rule of the zone refuses this client. ${WAF}`,
  '1027':
    'The daily requests of the free plan are used up; it goes on at midnight UTC, or on a paid plan.',
  '1101': 'The Worker threw an error: look at npx wrangler tail.',
  '1102': 'The Worker used more CPU or memory than its plan allows: docs/deploy.md, "Plans".',
}

/** What the edge says before, or instead of, the Worker. */
function troubleOfEdge(answer: Answered): Trouble | undefined {
  const { status, headers } = answer
  if (headers.get('cf-mitigated') === 'challenge') {
    return {
      says: `a challenge for browsers instead of an answer (${status})`,
      advice: `A bot or WAF rule of the zone stops registry clients, which cannot solve it. ${WAF}`,
    }
  }
  const isFailed = status >= 400 && !headers.has(HEADER.dockerDistributionAPIVersion)
  const text = isFailed ? textOf(answer) : ''
  const code = /error(?: code)?:? (1\d{3})\b/i.exec(text)?.[1]
  if (code !== undefined) {
    const advice = EDGE[code] ?? 'Look the number up in the documentation of Cloudflare.'
    return { says: `error ${code} of Cloudflare (${status})`, advice }
  }
  if (isFailed && (status === 530 || (status >= 520 && status <= 526))) {
    return {
      says: `Cloudflare finds no server behind the name (${status})`,
      advice: 'The name is proxied to an origin, not to the Worker: attach it as a custom domain.',
    }
  }
  return undefined
}

function troubleOfRedirect(answer: Answered): Trouble | undefined {
  if (!isRedirect(answer)) return undefined
  const { url, status } = answer
  const target = targetOf(answer)
  if (target === undefined) {
    return {
      says: `a redirect to nowhere (${status})`,
      advice: 'Something that is no registry answers on this address.',
    }
  }
  if (target.hostname.endsWith('.cloudflareaccess.com')) return troubleOfAccess(status)
  if (
    target.hostname === url.hostname &&
    url.protocol === 'http:' &&
    target.protocol === 'https:'
  ) {
    return {
      says: `http is sent on to https (${status})`,
      advice: `Use https://${url.hostname}, here and in every client: they do not follow this.`,
    }
  }
  return {
    says: `a redirect to ${target.host} (${status})`,
    advice:
      'No registry sends this elsewhere: a login page, a redirect rule of the zone, or another server stands before it. Exempt /v2, /token and /t.',
  }
}

function troubleOfAccess(status: number): Trouble {
  return {
    says: `a login page of Cloudflare Access instead of an answer (${status})`,
    advice:
      'Registry clients cannot pass it. Take the registry out of the Access application (a policy that bypasses); it has accounts of its own.',
  }
}

function troubleOfPage(answer: Answered): Trouble | undefined {
  const { status, headers } = answer
  const text = textOf(answer).slice(0, 4096)
  const isPage =
    /^text\/html\b/i.test(headers.get(HEADER.contentType) ?? '') ||
    /^\s*<(?:!doctype )?html/i.test(text)
  if (!isPage) return undefined
  if (/cloudflareaccess\.com/i.test(text)) return troubleOfAccess(status)
  const title = printable(/<title[^>]*>([^<]*)/i.exec(text)?.[1] ?? '')
  return {
    says: `a page for people instead of an answer (${status}${title === '' ? '' : `, "${title}"`})`,
    advice:
      'A login page, a parked domain, a proxy of this network or another web server answers: check the address, and what stands before the registry.',
  }
}

function parseJSON(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
