// The part of the examination that pulls: a manifest, and the smallest blob that it leads to, whole, in part, and
// through the redirect if there is one.

import { algorithmOf, digestOf, parseDigest } from '../src/oci/digest.ts'
import type { Digest } from '../src/oci/digest.ts'
import type { Descriptor } from '../src/oci/descriptor.ts'
import { isNonDistributable } from '../src/oci/descriptor.ts'
import { HEADER } from '../src/oci/header.ts'
import { ACCEPT_MANIFEST, inspectManifest } from '../src/oci/manifest.ts'
import { formatReference } from '../src/oci/reference.ts'
import { isRedirect, targetOf } from './doctor-answer.ts'
import type { Answer, Answered } from './doctor-answer.ts'
import type { BlobFacts } from './doctor-blob.ts'
import { RANGE_LENGTH, diagnoseBlob, diagnoseBlobHead, diagnoseRange } from './doctor-blob.ts'
import { unchecked } from './doctor-finding.ts'
import type { Check, Finding } from './doctor-finding.ts'
import type { Image } from './doctor-image.ts'
import { diagnoseManifest, diagnoseManifestHead } from './doctor-manifest.ts'
import type { Prober } from './doctor-probe.ts'
import { diagnoseRedirect, noRedirect, uncheckedRedirect } from './doctor-redirect.ts'

/** Whose image, and in whose name. */
export interface Pull {
  readonly url: URL
  readonly prober: Prober
  readonly image: Image
  readonly what: string
  readonly name: string | undefined
  readonly authorization: Readonly<Record<string, string>>
}

const BLOB: readonly Check[] = ['blob HEAD', 'blob GET', 'blob range', 'redirect']
/** Of a blob no more is read (bytes). */
const BLOB_LIMIT = 4 * 1024 * 1024

/** Examines an image. */
export async function examineContent(pull: Pull): Promise<readonly Finding[]> {
  const { image, what, name } = pull
  const answer = await askManifest(pull, formatReference(image.reference), 'GET')
  const said = answer.kind === 'answered' ? answer.headers.get(HEADER.dockerContentDigest) : null
  const wanted = said === null ? undefined : parseDigest(said)
  const actual = await digestLike(wanted, answer)
  const { finding, isGood } = diagnoseManifest({ what, name, answer, actual })
  if (!isGood || answer.kind === 'unanswered') {
    const others: readonly Check[] = ['manifest HEAD', ...BLOB]
    return [
      finding,
      ...others.map((check) => unchecked(check, 'there is no manifest to go on from')),
    ]
  }
  const head = await askManifest(pull, formatReference(image.reference), 'HEAD')
  const heads = diagnoseManifestHead(head, answer)
  return [finding, heads, ...(await examineBlobOf(pull, answer))]
}

async function examineBlobOf(pull: Pull, manifest: Answered): Promise<readonly Finding[]> {
  const blob = await findBlob(pull, manifest)
  if (blob !== undefined) return examineBlob(pull, blob)
  return BLOB.map((check) => unchecked(check, `${pull.what} leads to no blob`))
}

/** Of an index the first manifest that is there. */
async function findBlob(pull: Pull, manifest: Answered): Promise<BlobFacts | undefined> {
  const inspected = inspectManifest(manifest.bytes, manifest.headers.get(HEADER.contentType))
  if (!inspected.ok) return undefined
  const { blobs, manifests } = inspected.contents
  const [child] = manifests
  if (child === undefined) return pickBlob(blobs, pull.name)
  const answer = await askManifest(pull, child.digest, 'GET')
  if (answer.kind === 'unanswered' || answer.status !== 200) return undefined
  const image = inspectManifest(answer.bytes, answer.headers.get(HEADER.contentType))
  return image.ok ? pickBlob(image.contents.blobs, pull.name) : undefined
}

/** The smallest that has more than the range that is asked for, so that a cold one costs little. */
function pickBlob(blobs: readonly Descriptor[], name: string | undefined): BlobFacts | undefined {
  const facts = blobs.flatMap(({ digest: text, size, mediaType }) => {
    const digest = parseDigest(text)
    return digest === undefined || size === 0 || isNonDistributable(mediaType)
      ? []
      : [{ digest, size, name }]
  })
  const sorted = facts.toSorted((a, b) => a.size - b.size)
  return sorted.find(({ size }) => size > RANGE_LENGTH) ?? sorted.at(-1)
}

async function examineBlob(pull: Pull, blob: BlobFacts): Promise<readonly Finding[]> {
  const { prober, authorization, image, url } = pull
  const address = new URL(`/v2/${image.repository}/blobs/${blob.digest}`, url)
  const range = { [HEADER.range]: `bytes=0-${Math.min(RANGE_LENGTH, blob.size) - 1}` }
  const head = await prober.ask(address, { method: 'HEAD', headers: authorization })
  // What was not here before is, when all of it has come.
  const whole = await prober.ask(address, { headers: authorization, limit: BLOB_LIMIT })
  const part = await prober.ask(address, {
    headers: { ...authorization, ...range },
    limit: BLOB_LIMIT,
  })
  const isStreamed = whole.kind === 'answered' && whole.status === 200
  const actual = isStreamed ? await digestLike(blob.digest, whole) : undefined
  return [
    diagnoseBlobHead(head, blob),
    diagnoseBlob(whole, blob, actual),
    diagnoseRange(part, blob, isStreamed ? whole.bytes : undefined),
    await examineRedirect(prober, [part, whole], { blob, range }),
  ]
}

async function examineRedirect(
  prober: Prober,
  answers: readonly Answer[],
  { blob, range }: { readonly blob: BlobFacts; readonly range: Readonly<Record<string, string>> },
): Promise<Finding> {
  const answered = answers.filter((each) => each.kind === 'answered')
  const redirect = answered.find(isRedirect)
  if (redirect === undefined) {
    const isServed = answered.some(({ status }) => status === 200 || status === 206)
    return isServed ? noRedirect() : uncheckedRedirect('no blob was served')
  }
  const target = targetOf(redirect)
  if (target === undefined) return diagnoseRedirect({ redirect, blob })
  // Without the login, which is for the registry alone.
  const part = await prober.ask(target, { headers: range, limit: BLOB_LIMIT })
  const whole = await prober.ask(target, { limit: BLOB_LIMIT })
  const actual = await digestLike(blob.digest, whole)
  return diagnoseRedirect({ redirect, blob, stored: { part, whole, actual } })
}

function askManifest(
  { prober, url, image, authorization }: Pull,
  reference: string,
  method: 'GET' | 'HEAD',
): Promise<Answer> {
  const address = new URL(`/v2/${image.repository}/manifests/${reference}`, url)
  const headers = { [HEADER.accept]: ACCEPT_MANIFEST, ...authorization }
  return prober.ask(address, { method, headers })
}

/** The digest of what came, by the algorithm of the one it should have. */
async function digestLike(wanted: Digest | undefined, answer: Answer): Promise<Digest | undefined> {
  if (wanted === undefined || answer.kind === 'unanswered') return undefined
  return digestOf(answer.bytes, algorithmOf(wanted))
}
