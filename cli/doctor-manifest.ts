// What a manifest looks like to a client: the right bytes by GET, and by HEAD all that clients decide by.

import type { Digest } from '../src/oci/digest.ts'
import { HEADER } from '../src/oci/header.ts'
import { checkAnswer, printable } from './doctor-answer.ts'
import type { Answer, Answered } from './doctor-answer.ts'
import { fine, problem, warning } from './doctor-finding.ts'
import type { Finding } from './doctor-finding.ts'
import { diagnoseRefusal } from './doctor-refusal.ts'

/** A manifest as it came. */
export interface ManifestFacts {
  readonly what: string
  readonly name: string | undefined
  readonly answer: Answer
  /** The digest of the bytes that came. */
  readonly actual: Digest | undefined
}

/** Whether a manifest came that can be looked into. */
export interface ManifestDiagnosis {
  readonly finding: Finding
  readonly isGood: boolean
}

const CHECK = 'manifest GET'

/** Diagnoses GET. */
export function diagnoseManifest({ what, name, answer, actual }: ManifestFacts): ManifestDiagnosis {
  const { answered, trouble } = checkAnswer(answer)
  if (answered === undefined) return { finding: problem(CHECK, trouble), isGood: false }
  if (answered.status !== 200) {
    return { finding: diagnoseRefusal(answered, { check: CHECK, what, name }), isGood: false }
  }
  const { headers } = answered
  const digest = headers.get(HEADER.dockerContentDigest)
  if (digest === null) {
    return {
      finding: problem(CHECK, {
        says: `${what} comes without Docker-Content-Digest`,
        advice: `A proxy in between removes it, and clients cannot tell what a tag is. ${PROXY}`,
      }),
      isGood: true,
    }
  }
  if (digest !== actual) {
    return {
      finding: problem(CHECK, {
        says: `the bytes of ${what} do not have their digest`,
        advice: `Something in between changes them (compression, "minify", a virus scanner), and every client refuses them. ${PROXY}`,
      }),
      isGood: false,
    }
  }
  return {
    finding: diagnoseFreshness(answered, `${what} is ${digest.slice(0, 19)}…`),
    isGood: true,
  }
}

const PROXY = 'Let answers of /v2 pass unchanged.'

function diagnoseFreshness({ headers }: Answered, says: string): Finding {
  const encoding = headers.get(HEADER.contentEncoding)
  if (encoding !== null && encoding !== 'identity') {
    return warning(CHECK, {
      says: `${says}, encoded (${printable(encoding)}) though nobody asked for it`,
      advice: `Clients that compare lengths fail. ${PROXY}`,
    })
  }
  const stale = headers.get(HEADER.warning)
  if (stale !== null) {
    const text = printable(/299 - "([^"]*)"/.exec(stale)?.[1] ?? stale)
    return warning(CHECK, {
      says: `${says}, out of date by ${headers.get(HEADER.age) ?? '?'} s (${text})`,
      advice:
        'The upstream cannot confirm the tag, so the last one that is known is served, for maxStale at most. GET /_/upstreams has the last error.',
    })
  }
  return fine(CHECK, `${says} (${sourceOf(headers.get(HEADER.cacheStatus) ?? '')})`)
}

/** How the registry came by it, in words. */
export function sourceOf(cacheStatus: string): string {
  if (/;\s*hit/.test(cacheStatus)) return 'cached'
  if (/fwd=/.test(cacheStatus)) return 'asked of the upstream'
  return 'hosted'
}

/** Diagnoses HEAD beside a GET that came before it. */
export function diagnoseManifestHead(answer: Answer, get: Answered): Finding {
  const check = 'manifest HEAD'
  const { answered, trouble } = checkAnswer(answer)
  if (answered === undefined) return problem(check, trouble)
  const { status, headers } = answered
  if (status !== 200) {
    return problem(check, {
      says: `HEAD is answered ${status}, GET 200`,
      advice:
        'A rule or proxy treats HEAD differently, which Docker, containerd and crane begin with: let it through.',
    })
  }
  if (!headers.has(HEADER.dockerContentDigest)) {
    return problem(check, {
      says: 'HEAD comes without Docker-Content-Digest',
      advice: `containerd then asks by GET as well, which counts at the upstream; crane and oras fail. ${PROXY}`,
    })
  }
  const isSame =
    headers.get(HEADER.dockerContentDigest) === get.headers.get(HEADER.dockerContentDigest)
  if (isSame && headers.get(HEADER.contentLength) !== String(get.bytes.byteLength)) {
    return problem(check, {
      says: 'HEAD comes without the length that GET has',
      advice: `Clients take the size from it: crane and oras fail. ${PROXY}`,
    })
  }
  return fine(check, isSame ? 'digest and length as by GET' : 'the tag has just moved')
}
