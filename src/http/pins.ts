// `/_/api/pins`: an administrator says which images are always to be here. Each is fetched at once, is never evicted, and
// its tag is refreshed before it grows old.

import { MAX_PINS } from '../auth/pins.ts'
import type { Pin } from '../auth/pins.ts'
import { formatImageName, parseImageName, parsePlatforms } from '../jobs/image-name.ts'
import type { ImageName } from '../jobs/image-name.ts'
import { RegistryError } from '../oci/error.ts'
import type { Reference } from '../oci/reference.ts'
import { NO_STORE, ask, reach, readMembers, show, timestamp, wrong } from './admin.ts'
import type { Call, Route } from './admin.ts'
import type { Visit } from './authenticate.ts'
import { respond } from './exchange.ts'

const MEMBERS = ['image', 'platforms']

/** Of pins. */
export const PIN_ROUTES: readonly Route[] = [
  {
    path: /^\/_\/api\/pins$/,
    endpoint: 'pins',
    methods: { GET: listPins, HEAD: listPins, PUT: putPin, DELETE: deletePin },
  },
]

/** An image that can be pinned: it says what of its repository it means. */
interface Pinnable extends ImageName {
  readonly reference: Reference
}

async function listPins({ visit }: Call): Promise<Response> {
  const pins = await ask(visit, (authority) => authority.pins())
  return show(visit, 200, { pins: pins.map(describePin) })
}

async function putPin({ visit, by }: Call): Promise<Response> {
  const members = await readMembers(visit, '{ image, platforms }')
  const unknown = Object.keys(members).find((key) => !MEMBERS.includes(key))
  if (unknown !== undefined) throw wrong('', `expected no other keys than ${MEMBERS.join(', ')}`)
  const { name, reference } = readImage(visit, members['image'])
  const platforms = parsePlatforms(members['platforms'])
  if (typeof platforms === 'string') throw wrong('platforms', platforms)
  const image = formatImageName({ name, reference })
  const pin = await ask(visit, (authority) => authority.pin({ image, platforms }, by))
  if (pin === undefined)
    throw wrong('image', `there are ${MAX_PINS} pins, which is all there can be`)
  const { pins, seams } = visit.services
  try {
    const { job } = await pins.order(image, platforms, by)
    await pins.follow(name, { reference, platforms })
    return show(visit, 200, { ...describePin(pin), job: job.id })
  } catch (error) {
    // It is pinned all the same: whatever keeps ledgers in step makes up for it.
    seams.log('pin-not-applied', { image, reason: String(error) })
    return show(visit, 200, describePin(pin))
  }
}

async function deletePin({ visit, by }: Call): Promise<Response> {
  const written = visit.exchange.query.get('image') ?? undefined
  const image = parseImageName(written, visit.services.config)
  const isImage = image.ok && image.reference !== undefined
  // The last one to let go is the one that tells the others: what fails here can be tried again.
  if (isImage) await letGo(visit, { name: image.name, reference: image.reference })
  // Of an upstream that is not configured any more there may be pins too.
  const name = isImage ? formatImageName(image) : (written ?? '')
  if (await ask(visit, (authority) => authority.unpin(name, by))) {
    return respond(visit.exchange, { status: 204, headers: NO_STORE })
  }
  if (isImage) throw new RegistryError('NAME_UNKNOWN', { message: `${name} is not pinned` })
  throw readError(image.ok ? undefined : image.why, written)
}

async function letGo({ services }: Visit, { name, reference }: Pinnable): Promise<void> {
  await reach('the repository of this image cannot be reached', () =>
    services.pins.unfollow(name, reference),
  )
}

function readImage({ services }: Visit, value: unknown): Pinnable {
  const image = parseImageName(value, services.config)
  if (!image.ok) throw readError(image.why, value)
  const { name, reference } = image
  if (reference === undefined) throw readError(undefined, value)
  return { name, reference }
}

/** Without a reason, what was named is a whole repository. */
function readError(
  why = 'expected a tag or a digest after the name, such as ":latest"',
  value?: unknown,
): RegistryError {
  return wrong('image', why, value === undefined)
}

function describePin({ at, ...pin }: Pin): object {
  return { ...pin, at: timestamp(at) }
}
