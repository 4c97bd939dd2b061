// Where clients are sent for a blob, whether they get it there, and whether they may be sent there at all. Of the
// URL nothing but its host is ever named: whoever has the rest has the blob.

import type { Digest } from '../src/oci/digest.ts'
import { HEADER } from '../src/oci/header.ts'
import { isLoopbackHost } from '../src/oci/host.ts'
import { checkAnswer, targetOf, textOf } from './doctor-answer.ts'
import type { Answer, Answered } from './doctor-answer.ts'
import { short, troubleOfRange } from './doctor-blob.ts'
import type { BlobFacts } from './doctor-blob.ts'
import { fine, problem, unchecked, warning } from './doctor-finding.ts'
import type { Finding, Trouble } from './doctor-finding.ts'

/** A redirect, and what came of following it. */
export interface RedirectFacts {
  readonly redirect: Answered
  readonly blob: Pick<BlobFacts, 'digest' | 'size'>
  /** Undefined where nobody could follow it. */
  readonly stored?: StoredFacts
}

/** A blob as storage gives it. */
export interface StoredFacts {
  /** What came of its first bytes. */
  readonly part: Answer
  readonly whole: Answer
  /** The digest of what came of the whole. */
  readonly actual: Digest | undefined
}

const CHECK = 'redirect'
const NEVER = 'REDIRECT rule "never" streams instead'

/** Nothing is redirected. */
export function noRedirect(): Finding {
  return fine(
    CHECK,
    'blobs are streamed: no S3 settings, REDIRECT says so, or storage does not take them (redirect-failed in the log)',
  )
}

/** Why nothing is known of redirects. */
export function uncheckedRedirect(why: string): Finding {
  return unchecked(CHECK, why)
}

/** Diagnoses a redirect. */
export function diagnoseRedirect({ redirect, blob, stored }: RedirectFacts): Finding {
  const target = targetOf(redirect)
  if (target === undefined) {
    return problem(CHECK, {
      says: 'a redirect to nowhere',
      advice: `S3_ENDPOINT is no address; the ${NEVER}.`,
    })
  }
  const wrong = troubleOfTarget(redirect, target) ?? (stored && troubleOfStorage(stored, blob))
  if (wrong !== undefined) return problem(CHECK, wrong)
  const careless = troubleOfHeaders(redirect)
  const says = `to ${target.host}, where the bytes and a range of them arrive`
  return careless === undefined ? fine(CHECK, says) : warning(CHECK, careless)
}

/** What a client of that host would do, before it is asked. */
function troubleOfTarget({ url, status }: Answered, target: URL): Trouble | undefined {
  if (status === 301 || status === 308) {
    return {
      says: `a permanent redirect (${status}) to ${target.host}`,
      advice:
        'The URL is good for two minutes, and clients keep this one: something in between changes the 307 of the registry.',
    }
  }
  if (url.protocol === 'https:' && target.protocol === 'http:') {
    return {
      says: `redirects from https to http (${target.host})`,
      advice: 'Clients refuse that, or anybody can read along: S3_ENDPOINT must be https.',
    }
  }
  if (isLoopbackHost(target.hostname) && !isLoopbackHost(url.hostname)) {
    return {
      says: `redirects to ${target.host}, which is this machine alone`,
      advice: 'Another client would ask itself: S3_ENDPOINT must be an address that clients reach.',
    }
  }
  if (target.hostname === url.hostname || target.hostname.endsWith(`.${url.hostname}`)) {
    return {
      says: `redirects to ${target.host}, which belongs to the registry's own host`,
      advice: `Go clients (Docker, containerd, podman, crane) keep their login on the same host and on its subdomains, and storage refuses a request with two kinds of authentication. S3_ENDPOINT must be on another domain; the ${NEVER}.`,
    }
  }
  return undefined
}

function troubleOfStorage(
  { part, whole, actual }: StoredFacts,
  { digest, size }: RedirectFacts['blob'],
): Trouble | undefined {
  const { answered, trouble } = checkAnswer(part)
  const { host } = part.url
  if (answered === undefined) {
    return {
      says: `redirects to ${host}, and there: ${trouble.says}`,
      advice: `${trouble.advice} Clients must reach both hosts; for a network that allows one only, the ${NEVER} (docs/deploy.md, "Redirects").`,
    }
  }
  if (answered.status >= 400) return troubleOfRefusal(answered)
  const all = checkAnswer(whole).answered
  if (all?.status === 200 && all.isWhole && actual !== digest) {
    return {
      says: `${host} has other bytes than ${short(digest)}`,
      advice: `S3_BUCKET is another bucket than that of the binding BLOBS, or a proxy changes what it sends; the ${NEVER}.`,
    }
  }
  const range = troubleOfRange(answered, size, all?.bytes)
  return range && { says: `${host}: ${range.says}`, advice: range.advice }
}

/** S3's codes, as R2 uses them. */
const CODES: Readonly<Record<string, string>> = {
  SignatureDoesNotMatch:
    'S3_SECRET_ACCESS_KEY is not the secret of S3_ACCESS_KEY_ID, or the URL is rewritten on the way.',
  ExpiredRequest:
    'The URL had ended when it was made: the clock of whatever signs or checks it is wrong.',
  RequestTimeTooSkewed:
    'The clocks of the registry and of storage differ: set that of the machine that runs the registry.',
  Unauthorized:
    'S3_ACCESS_KEY_ID is not known there: the token was deleted, or S3_ENDPOINT is of another account.',
  InvalidAccessKeyId:
    'S3_ACCESS_KEY_ID is not known there: the token was deleted, or S3_ENDPOINT is of another account.',
  InvalidArgument:
    'S3_ACCESS_KEY_ID has not the form of an access key: it is the id of the R2 token, not its value.',
  AccessDenied:
    'The R2 token may not read this bucket: give it "Object Read" on the bucket of S3_BUCKET.',
  NoSuchBucket:
    'There is no bucket of the name S3_BUCKET at S3_ENDPOINT (another account, or another jurisdiction).',
  NoSuchKey:
    'S3_BUCKET is not the bucket that the registry writes to: it must be the bucket_name of the binding BLOBS.',
}

function troubleOfRefusal(answered: Answered): Trouble {
  const code = /<Code>([A-Za-z]{1,60})<\/Code>/.exec(textOf(answered))?.[1]
  const says = `${answered.url.host} refuses its URL (${answered.status}${code === undefined ? '' : ` ${code}`})`
  const known = code === undefined ? undefined : CODES[code]
  if (known !== undefined) return { says, advice: known }
  const cause =
    answered.status === 404
      ? 'S3_BUCKET or S3_ENDPOINT leads elsewhere.'
      : 'The S3 settings are wrong, or storage is away: check S3_ENDPOINT, S3_BUCKET and both keys.'
  return { says, advice: `${cause} Until then the ${NEVER}.` }
}

function troubleOfHeaders({ headers }: Answered): Trouble | undefined {
  if (!/\bno-store\b/.test(headers.get(HEADER.cacheControl) ?? '')) {
    return {
      says: 'redirects without Cache-Control: no-store',
      advice:
        'A cache in between may hand the signed URL to others: something changes the header of the registry.',
    }
  }
  if (headers.get(HEADER.referrerPolicy) !== 'no-referrer') {
    return {
      says: 'redirects without Referrer-Policy: no-referrer',
      advice:
        'Clients may tell storage the path they came from: something changes the header of the registry.',
    }
  }
  return undefined
}
