// `/_/api/images`: an administrator sees what is here of every repository, of both kinds, and of each of its
// manifests. No upstream is asked for any of it.

import type { Address } from '../oci/address.ts'
import { parseDigest } from '../oci/digest.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import type { ImageConfig, ImageHistory } from '../oci/image-config.ts'
import { parseImageName } from '../oci/image-name.ts'
import { parsePage } from '../oci/page.ts'
import type { Reference } from '../oci/reference.ts'
import type { ImageLine, ManifestPage, RepositoryLine, RepositoryPage } from '../registry/image.ts'
import type { RepositoryKind } from '../storage/keys.ts'
import { reach, show, timestamp, wrong } from './admin.ts'
import type { Call, Route } from './admin.ts'
import { addressOf } from './authorize.ts'
import type { Visit } from './authenticate.ts'

/** What is said while storage or an object does not answer. */
const AWAY = 'what is known of images cannot be reached'

/** Repositories of one page, where nobody says how many, and at most. */
const PAGE = 50
const MAX_PAGE = 100
/** Characters of a search; no name is longer. */
const MAX_SEARCH = 600
const KINDS: readonly RepositoryKind[] = ['mirrored', 'hosted']

/** Of images. */
export const IMAGE_ROUTES: readonly Route[] = [
  {
    path: /^\/_\/api\/images$/,
    endpoint: 'images',
    methods: { GET: listImages, HEAD: listImages },
  },
  {
    path: /^\/_\/api\/images\/(.+)$/,
    endpoint: 'image',
    methods: { GET: getImage, HEAD: getImage },
  },
]

async function listImages({ visit }: Call): Promise<Response> {
  const { query } = visit.exchange
  const { n, last } = parsePage(query)
  const search = query.get('search') ?? ''
  if (search.length > MAX_SEARCH) throw wrong('search', 'expected part of a name')
  const { images, next } = await reach(AWAY, () =>
    visit.services.images.list({
      search,
      kinds: kindsOf(query.get('kind')),
      after: last,
      limit: Math.min(n ?? PAGE, MAX_PAGE),
      mayRead: () => true,
    }),
  )
  return show(visit, 200, { images: images.map(describeLine), next })
}

async function getImage({ visit, name: written }: Call): Promise<Response> {
  const { address, reference } = readImage(visit, written)
  const { kind, canonical } = address
  if (reference !== undefined) return showManifest(visit, address, reference)
  const after = readDigest(visit.exchange.query.get('last'))
  const page = await reach(AWAY, () => visit.services.images.repository(kind, canonical, after))
  if (page === undefined) throw new RegistryError('NAME_UNKNOWN')
  return show(visit, 200, describePage(page))
}

async function showManifest(
  visit: Visit,
  { kind, canonical }: Address,
  reference: Reference,
): Promise<Response> {
  const { images } = visit.services
  const manifest = await reach(AWAY, () => images.manifest(kind, canonical, reference))
  if (manifest !== undefined) return show(visit, 200, describeManifest(manifest))
  const line = await reach(AWAY, () => images.line(kind, canonical))
  throw new RegistryError(line === undefined ? 'NAME_UNKNOWN' : 'MANIFEST_UNKNOWN')
}

/** A name as people write it, or as tools do, which encode all of it. */
function readImage(
  visit: Visit,
  written: string,
): { readonly address: Address; readonly reference: Reference | undefined } {
  const image = parseImageName(decode(written))
  if (image === undefined) {
    throw new RegistryError('NAME_INVALID', { message: 'expected name, name:tag or name@digest' })
  }
  const address = addressOf(image.name, visit.services.config)
  if (address === undefined) throw new RegistryError('NAME_UNKNOWN')
  return { address, reference: image.reference }
}

function decode(written: string): string {
  try {
    return decodeURIComponent(written)
  } catch {
    return written
  }
}

function kindsOf(kind: string | null): readonly RepositoryKind[] {
  if (kind === null) return KINDS
  const known = KINDS.filter((each) => each === kind)
  if (known.length === 0) throw wrong('kind', `expected ${KINDS.join(' or ')}`)
  return known
}

function readDigest(last: string | null): Digest | undefined {
  if (last === null) return undefined
  const digest = parseDigest(last)
  if (digest === undefined) throw wrong('last', 'expected a digest')
  return digest
}

function describeLine(line: RepositoryLine): object {
  const { firstSeen, lastPull, ...rest } = line
  return { ...rest, firstSeen: timestamp(firstSeen), lastPull: timestamp(lastPull) }
}

function describePage({ images, next, ...line }: RepositoryPage): object {
  return { ...describeLine(line), images: images.map(describeImage), next }
}

function describeImage(image: ImageLine): object {
  const { firstSeen, lastRead, ...rest } = image
  return { ...rest, firstSeen: timestamp(firstSeen), lastRead: timestamp(lastRead) }
}

function describeManifest(page: ManifestPage): object {
  const { firstSeen, lastRead, config, history, ...rest } = page
  return {
    ...rest,
    firstSeen: timestamp(firstSeen),
    lastRead: timestamp(lastRead),
    config: config && describeCreated(config),
    history: history.map(describeCreated),
  }
}

function describeCreated(made: ImageConfig | ImageHistory): object {
  return { ...made, created: timestamp(made.created) }
}
