// What a blob looks like to a client that streams it: HEAD answered by the registry, the right bytes, and a range of them.

import type { Digest } from '../src/oci/digest.ts'
import { HEADER } from '../src/oci/header.ts'
import { formatContentRange } from '../src/oci/range.ts'
import { checkAnswer, checkDelivery, isRedirect } from './doctor-answer.ts'
import type { Answer, Answered } from './doctor-answer.ts'
import { fine, problem } from './doctor-finding.ts'
import type { Finding, Trouble } from './doctor-finding.ts'
import { sourceOf } from './doctor-manifest.ts'
import { diagnoseRefusal } from './doctor-refusal.ts'

/** The blob that is looked at. */
export interface BlobFacts {
  readonly digest: Digest
  readonly size: number
  /** In whose name was asked. */
  readonly name: string | undefined
}

/** The range that is asked for; the blob has more bytes, or it ends with the blob. */
export const RANGE_LENGTH = 64

/** Diagnoses HEAD. */
export function diagnoseBlobHead(answer: Answer, { digest, size, name }: BlobFacts): Finding {
  const check = 'blob HEAD'
  if (answer.kind === 'answered' && isRedirect(answer)) {
    return problem(check, {
      says: `HEAD is redirected (${answer.status})`,
      advice:
        'A URL that is signed for GET answers HEAD with 403, and containerd fails. entrepot never does this: a proxy answers for it.',
    })
  }
  const { answered, trouble } = checkAnswer(answer)
  if (answered === undefined) return problem(check, trouble)
  if (answered.status !== 200)
    return diagnoseRefusal(answered, { check, what: short(digest), name })
  const { headers } = answered
  if (headers.get(HEADER.dockerContentDigest) !== digest) {
    return problem(check, {
      says: 'HEAD comes without Docker-Content-Digest',
      advice: 'A proxy in between removes it: let answers of /v2 pass unchanged.',
    })
  }
  const length = headers.get(HEADER.contentLength)
  if (length !== String(size)) {
    return problem(check, {
      says: `HEAD says ${length ?? 'nothing'} of the length, which is ${size}`,
      advice:
        'Clients cannot tell whether they have all of it: let answers of /v2 pass unchanged, without compression.',
    })
  }
  return fine(check, 'digest and length')
}

/** Diagnoses the whole of a blob that was streamed; `actual` is the digest of the bytes that came. */
export function diagnoseBlob(
  answer: Answer,
  { digest, size, name }: BlobFacts,
  actual: Digest | undefined,
): Finding {
  const check = 'blob GET'
  const { answered, trouble } = checkDelivery(answer)
  if (answered === undefined) return problem(check, trouble)
  if (isRedirect(answered))
    return fine(check, `${short(digest)} is redirected (${answered.status})`)
  if (answered.status !== 200)
    return diagnoseRefusal(answered, { check, what: short(digest), name })
  if (answered.isWhole && actual !== digest) {
    return problem(check, {
      says: `the bytes of ${short(digest)} do not have their digest`,
      advice:
        'Something in between changes or cuts them, and every client refuses them: let answers of /v2 pass unchanged.',
    })
  }
  const source = sourceOf(answered.headers.get(HEADER.cacheStatus) ?? '')
  return fine(check, `${short(digest)}, ${size} bytes, streamed (${source})`)
}

/** Diagnoses a range that was streamed; `whole` is what came of the whole. */
export function diagnoseRange(
  answer: Answer,
  { digest, size, name }: BlobFacts,
  whole: Uint8Array | undefined,
): Finding {
  const check = 'blob range'
  const { answered, trouble } = checkDelivery(answer)
  if (answered === undefined) return problem(check, trouble)
  if (isRedirect(answered)) return fine(check, 'is redirected')
  if (![200, 206].includes(answered.status)) {
    return diagnoseRefusal(answered, { check, what: `a range of ${short(digest)}`, name })
  }
  const wrong = troubleOfRange(answered, size, whole)
  return wrong === undefined ? fine(check, '206, with the bytes asked for') : problem(check, wrong)
}

/** What is wrong with an answer to the first bytes of a blob, by whomever it was given. */
export function troubleOfRange(
  { status, headers, bytes }: Answered,
  size: number,
  whole: Uint8Array | undefined,
): Trouble | undefined {
  const length = Math.min(RANGE_LENGTH, size)
  if (status === 200) {
    return {
      says: 'a range is answered with the whole (200)',
      advice:
        'A proxy or cache in between removes Range: Docker, podman and CRI-O cannot resume a download and start again.',
    }
  }
  const wanted = formatContentRange(0, length, size)
  if (headers.get(HEADER.contentRange) !== wanted) {
    return {
      says: `a range comes without "Content-Range: ${wanted}"`,
      advice:
        'Clients that resume by it fail or assemble a wrong file: something in between rewrites it.',
    }
  }
  const isSame =
    bytes.byteLength === length &&
    (whole === undefined || Buffer.from(bytes).equals(whole.subarray(0, length)))
  if (isSame) return undefined
  return {
    says: 'a range has other bytes than the whole',
    advice: 'A resumed download would not have its digest: something in between mixes up ranges.',
  }
}

/** A digest as it is printed. */
export function short(digest: Digest): string {
  return `${digest.slice(0, 19)}…`
}
