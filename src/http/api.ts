// `/_/api/…`: which function answers which path. Only administrators get anything.

import { RegistryError } from '../oci/error.ts'
import { ACCOUNT_ROUTES } from './accounts.ts'
import { administratorOf } from './admin.ts'
import type { Route } from './admin.ts'
import type { Visit } from './authenticate.ts'
import { refuseMethod } from './dispatch.ts'
import { EXPORT_ROUTES } from './exports.ts'
import { IMAGE_ROUTES } from './images.ts'
import { JOB_ROUTES } from './jobs.ts'
import { PIN_ROUTES } from './pins.ts'
import { REFRESH_ROUTES } from './refresh.ts'
import { STORAGE_ROUTES } from './storage.ts'
import { UPSTREAM_ROUTES } from './upstreams.ts'

/** The first one whose path fits answers. */
export const API_ROUTES: readonly Route[] = [
  ...ACCOUNT_ROUTES,
  ...UPSTREAM_ROUTES,
  ...IMAGE_ROUTES,
  ...JOB_ROUTES,
  ...EXPORT_ROUTES,
  ...PIN_ROUTES,
  ...REFRESH_ROUTES,
  ...STORAGE_ROUTES,
]

/**
 * Answers a request to a raw path below `/_/api/`.
 * @throws {RegistryError} UNAUTHORIZED to whoever has not shown the secret of an account with a grant of `admin`.
 */
export async function answerAPI(visit: Visit, path: string): Promise<Response> {
  const route = API_ROUTES.find((each) => each.path.test(path))
  if (route === undefined) {
    throw new RegistryError('NAME_UNKNOWN', { message: 'no such endpoint' })
  }
  const { exchange } = visit
  exchange.endpoint = route.endpoint
  refuseMethod(exchange.method, Object.keys(route.methods))
  const by = await administratorOf(visit)
  const [, name = ''] = route.path.exec(path) ?? []
  const answer = route.methods[exchange.method]
  if (answer === undefined) throw new RegistryError('UNSUPPORTED')
  return answer({ visit, by, name })
}
