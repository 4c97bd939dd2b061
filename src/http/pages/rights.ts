// Who may see a page. The policy decides as everywhere; a browser logs in by Basic, so that is what it is asked for.

import type { Caller } from '../../auth/caller.ts'
import { REGISTRY } from '../../auth/policy.ts'
import { RegistryError } from '../../oci/error.ts'
import { HEADER } from '../../oci/header.ts'
import type { Visit } from '../authenticate.ts'

/* RFC 7617 §2.1 */
const CHALLENGE = 'Basic realm="entrepot", charset="UTF-8"'
/** Seconds until a client that has looked too often may look again. */
const RETRY_LOOK = 60

/** @throws {RegistryError} UNAUTHORIZED for whoever has no grant of `admin`. */
export async function requireAdmin({ visitor }: Visit): Promise<void> {
  if (!(await visitor.may('admin', REGISTRY))) throw loginNeeded()
}

/**
 * Who looks at a page that shows everybody what they may see, and asks storage for it.
 * @throws {RegistryError} UNAUTHORIZED on a wrong login, TOOMANYREQUESTS where nobody has logged in and one client looks
 *   too often: it shares the limit of tokens, which are asked for as freely.
 */
export async function whoLooks({ visitor, services, exchange }: Visit): Promise<Caller> {
  const { caller, credentials } = await visitor.authenticate()
  if (credentials === 'wrong') throw loginNeeded()
  if (caller.kind !== 'anonymous' || (await services.access.limits.token(exchange.client()))) {
    return caller
  }
  throw new RegistryError('TOOMANYREQUESTS', {
    message: 'too many pages for one client',
    headers: { [HEADER.retryAfter]: String(RETRY_LOOK) },
  })
}

/** What is answered where another login may help; the same for what exists and for what does not. */
export function loginNeeded(): RegistryError {
  return new RegistryError('UNAUTHORIZED', { headers: { [HEADER.wwwAuthenticate]: CHALLENGE } })
}
