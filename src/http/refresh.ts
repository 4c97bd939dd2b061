// `POST /_/api/refresh`: an administrator has a tag checked now, however fresh it is, or all tags of a repository. What has
// changed is seen everywhere within a minute.

import { formatImageName, parseImageName } from '../jobs/image-name.ts'
import type { ImageName } from '../jobs/image-name.ts'
import { closedBy } from '../jobs/upstream-share.ts'
import type { MirrorFailure } from '../mirror/admission.ts'
import type { Refreshed } from '../mirror/inventory.ts'
import { RegistryError } from '../oci/error.ts'
import { HEADER } from '../oci/header.ts'
import type { Tag } from '../oci/reference.ts'
import { registryErrorOf } from '../registry/failure.ts'
import { inParallel } from '../registry/in-parallel.ts'
import { canonicalName } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import { ask, change, reach, readMembers, show, wrong } from './admin.ts'
import type { Call, Route } from './admin.ts'
import type { Visit } from './authenticate.ts'

/** What is said while storage or an object does not answer. */
const AWAY = 'the repository of this image cannot be reached'

/** Tags of one request, so many at once; nothing more is begun after so long (milliseconds). */
const MAX_TAGS = 100
const WIDTH = 8
const WITHIN = 20_000
const PAGE = 100
/** Whoever has switched something off seldom switches it on at once (seconds). */
const RETRY_CLOSED = 60

/** Of refreshes. */
export const REFRESH_ROUTES: readonly Route[] = [
  {
    path: /^\/_\/api\/refresh$/,
    endpoint: 'refresh',
    methods: { POST: postRefresh },
  },
]

/** What has become of one tag, or why nothing has. */
type Outcome =
  | {
      readonly image: string
      readonly before: string | undefined
      readonly digest: string
      readonly outcome: 'new' | 'changed' | 'unchanged' | 'stale'
      readonly warning: string | undefined
    }
  | { readonly image: string; readonly outcome: 'failed' | 'skipped'; readonly error: string }

async function postRefresh({ visit, by }: Call): Promise<Response> {
  const { image: written, ...others } = await readMembers(visit, '{ image }')
  if (Object.keys(others).length > 0) throw wrong('', 'expected no other keys than image')
  const image = parseImageName(written, visit.services.config)
  if (!image.ok) throw wrong('image', image.why, written === undefined)
  const { name, reference } = image
  if (reference?.kind === 'digest') {
    throw wrong('image', 'expected a tag: what has a digest never changes')
  }
  const why = closedBy(await visit.services.access.switches(), name.host)
  if (why !== undefined) throw closed(why)
  const tags = reference === undefined ? await knownTags(visit, name) : [reference.tag]
  // Noted first: nobody is asked for what nobody has ordered.
  await ask(visit, (authority) => authority.note('refresh', formatImageName(image), by))
  return reference === undefined
    ? refreshAll(visit, name, tags)
    : refreshOne(visit, name, reference.tag)
}

async function refreshOne(visit: Visit, name: MirroredName, tag: Tag): Promise<Response> {
  const refreshed = await reach(AWAY, () => ledgerOf(visit, name).refresh(name, tag))
  const { answer } = refreshed
  if (!answer.ok) throw registryErrorOf(answer.failure, 'MANIFEST_UNKNOWN')
  await announce(visit, name, [refreshed])
  return show(visit, 200, outcomeOf({ name, tag }, refreshed))
}

async function refreshAll(
  visit: Visit,
  name: MirroredName,
  tags: readonly Tag[],
): Promise<Response> {
  const { now } = visit.services.seams
  const end = now() + WITHIN
  const all = await inParallel(tags, WIDTH, async (tag) => {
    const image = imageOf({ name, tag })
    if (now() >= end) return { outcome: skipped(image), refreshed: undefined }
    try {
      const refreshed = await ledgerOf(visit, name).refresh(name, tag)
      return { outcome: outcomeOf({ name, tag }, refreshed), refreshed }
    } catch {
      return { outcome: failed(image, 'the repository cannot be reached'), refreshed: undefined }
    }
  })
  const done = all.flatMap(({ refreshed }) => (refreshed === undefined ? [] : [refreshed]))
  await announce(visit, name, done)
  const refreshed = all.map(({ outcome }) => outcome)
  return show(visit, 200, { image: canonicalName(name), refreshed })
}

/**
 * Where a tag has moved, what isolates and KV show of the repository from before the first check does not count any
 * more. What is new is known by the checks.
 */
async function announce(
  visit: Visit,
  name: MirroredName,
  refreshed: readonly Refreshed[],
): Promise<void> {
  const checks = refreshed.flatMap(({ before, answer }) =>
    answer.ok && answer.outcome !== 'stale' && before !== undefined && answer.digest !== before
      ? [answer.verifiedAt]
      : [],
  )
  if (checks.length === 0) return
  const at = Math.min(...checks) - 1
  await change(visit, (authority) => authority.purged(canonicalName(name), at))
}

/** The tags of a repository that are known here. @throws {RegistryError} where there are none, or too many. */
async function knownTags(visit: Visit, name: MirroredName): Promise<readonly Tag[]> {
  const ledger = ledgerOf(visit, name)
  const count = (await reach(AWAY, () => ledger.summary(name)))?.tags ?? 0
  const repository = canonicalName(name)
  if (count === 0) {
    throw new RegistryError('NAME_UNKNOWN', { message: `no tag of ${repository} is known here` })
  }
  if (count > MAX_TAGS) {
    const why = `${count} tags of ${repository} are known here; name one, or prefetch a list of them`
    throw wrong('image', why)
  }
  const tags: Tag[] = []
  let after: Parameters<typeof ledger.images>[1]
  do {
    const page = await reach(AWAY, () => ledger.images(name, after, PAGE))
    tags.push(...page.images.flatMap((each) => each.tags))
    after = page.next
  } while (after !== undefined)
  return tags.toSorted()
}

function outcomeOf(of: { readonly name: MirroredName; readonly tag: Tag }, refreshed: Refreshed) {
  const image = imageOf(of)
  const { before, answer } = refreshed
  if (!answer.ok) return failed(image, reasonOf(answer.failure))
  const { digest, warning } = answer
  const isMoved = before === undefined ? 'new' : before === digest ? 'unchanged' : 'changed'
  const outcome = answer.outcome === 'stale' ? 'stale' : isMoved
  return { image, before, digest, outcome, warning } satisfies Outcome
}

function failed(image: string, error: string): Outcome {
  return { image, outcome: 'failed', error }
}

function skipped(image: string): Outcome {
  return { image, outcome: 'skipped', error: 'there was no time left' }
}

function imageOf({ name, tag }: { readonly name: MirroredName; readonly tag: Tag }): string {
  const of: ImageName = { name, reference: { kind: 'tag', tag } }
  return formatImageName(of)
}

function reasonOf(failure: MirrorFailure): string {
  return registryErrorOf(failure, 'MANIFEST_UNKNOWN').message
}

/** It may well be here: what cannot be done is to check it. */
function closed(message: string): RegistryError {
  const headers = { [HEADER.retryAfter]: String(RETRY_CLOSED) }
  return new RegistryError('UNKNOWN', { status: 503, message, headers })
}

function ledgerOf({ services }: Visit, name: MirroredName) {
  return services.pins.ledger(name)
}
