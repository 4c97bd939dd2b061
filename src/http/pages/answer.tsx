// `/_/…`: which page answers which path. Pages are read and nothing else: no form here changes anything.

import { RegistryError } from '../../oci/error.ts'
import { HEADER } from '../../oci/header.ts'
import type { Visit } from '../authenticate.ts'
import { refuseMethod } from '../dispatch.ts'
import { isNotModified, respond } from '../exchange.ts'
import { getActivity } from './activity.tsx'
import { getConnect } from './connect.tsx'
import { getImage } from './image.tsx'
import { getImages } from './images.tsx'
import { getOverview } from './overview.tsx'
import { loginNeeded } from './rights.ts'
import { ICON, STYLE, STYLE_VERSION } from './style.ts'

const METHODS = ['GET', 'HEAD']
/** A year: what has a version never changes. */
const FOR_EVER = 'public, max-age=31536000, immutable'

interface PageRoute {
  /** Its first group is what the page is about. */
  readonly path: RegExp
  /** For the log. */
  readonly endpoint: string
  readonly get: (visit: Visit, name: string) => Response | Promise<Response>
}

const PAGES: readonly PageRoute[] = [
  { path: /^\/_$/, endpoint: 'page', get: (visit) => redirect(visit, '/_/') },
  { path: /^\/_\/$/, endpoint: 'page-overview', get: getOverview },
  { path: /^\/_\/images$/, endpoint: 'page-images', get: getImages },
  { path: /^\/_\/images\/(.+)$/, endpoint: 'page-image', get: getImage },
  { path: /^\/_\/connect$/, endpoint: 'page-connect', get: getConnect },
  { path: /^\/_\/activity$/, endpoint: 'page-activity', get: getActivity },
  { path: /^\/_\/login$/, endpoint: 'page-login', get: logIn },
  { path: /^\/_\/style\.css$/, endpoint: 'page-file', get: getStyle },
  { path: /^\/_\/icon\.svg$/, endpoint: 'page-file', get: getIcon },
]

/**
 * Answers a request to a raw path below `/_/` that is not of the API.
 * @throws {RegistryError}
 */
export async function answerPage(visit: Visit, path: string): Promise<Response> {
  const { exchange } = visit
  const page = PAGES.find((each) => each.path.test(path))
  exchange.endpoint = page?.endpoint ?? 'page'
  if (page === undefined) throw new RegistryError('NAME_UNKNOWN', { message: 'no such endpoint' })
  refuseMethod(exchange.method, METHODS)
  const [, name = ''] = page.path.exec(path) ?? []
  return page.get(visit, name)
}

/** Has a browser ask for a name and a secret, which it then shows to every page. */
async function logIn(visit: Visit): Promise<Response> {
  const { credentials } = await visit.visitor.authenticate()
  if (credentials !== 'good') throw loginNeeded()
  return redirect(visit, '/_/images')
}

function redirect({ exchange }: Visit, path: string): Response {
  return respond(exchange, { status: 303, headers: { [HEADER.location]: path } })
}

function getStyle(visit: Visit): Response {
  const isVersioned = visit.exchange.query.get('v') === STYLE_VERSION
  return file(visit, STYLE, {
    [HEADER.contentType]: 'text/css; charset=utf-8',
    [HEADER.cacheControl]: isVersioned ? FOR_EVER : 'no-cache',
    [HEADER.etag]: `"${STYLE_VERSION}"`,
  })
}

function getIcon(visit: Visit): Response {
  return file(visit, ICON, {
    [HEADER.contentType]: 'image/svg+xml',
    [HEADER.cacheControl]: 'public, max-age=86400',
    [HEADER.contentSecurityPolicy]: "default-src 'none'",
    [HEADER.etag]: `"${STYLE_VERSION}"`,
  })
}

function file(
  { exchange }: Visit,
  body: string,
  headers: Readonly<Record<string, string>>,
): Response {
  if (isNotModified(exchange, headers[HEADER.etag] ?? '')) {
    return respond(exchange, { status: 304, headers })
  }
  return respond(exchange, { status: 200, headers, body })
}
