// Whether this caller may do what it asks for. It is asked first, always: what is denied causes no request to
// storage, objects or upstreams, whether it exists or is cached or not.

import type { Account } from '../auth/account.ts'
import type { Caller } from '../auth/caller.ts'
import { may, REGISTRY } from '../auth/policy.ts'
import type { PolicyTarget, RepositoryAction } from '../auth/policy.ts'
import type { Config } from '../config.ts'
import { resolveAddress } from '../oci/address.ts'
import { nameWithoutCapability } from '../oci/capability.ts'
import type { Address } from '../oci/address.ts'
import type { Endpoint } from '../oci/endpoint.ts'
import { RegistryError } from '../oci/error.ts'
import type { Admission } from '../mirror/admission.ts'
import type { Visit } from './authenticate.ts'
import { unauthorized } from './challenge.ts'
import type { Need } from './challenge.ts'

/** Seconds until a client may have more fetched. */
const RETRY_FILL = 60

/** What a request does to a repository. An upload is part of a push, also to look at it or to end it. */
export function actionOf(kind: Endpoint['kind'], method: string): RepositoryAction {
  if (kind === 'uploads' || kind === 'upload') return 'create'
  if (method === 'DELETE') return 'delete'
  return method === 'GET' || method === 'HEAD' ? 'read' : 'create'
}

/**
 * Lets a request pass.
 * @throws {RegistryError} DENIED where `allow` or `deny` do not permit it to anyone, UNAUTHORIZED with a challenge where
 *   somebody else may, NAME_UNKNOWN where a capability does not reach.
 */
export async function authorize(
  visit: Visit,
  address: Address,
  action: RepositoryAction,
): Promise<void> {
  const { config } = visit.services
  if (!isMirrorable(address, config)) {
    throw new RegistryError('DENIED', { message: 'this repository may not be mirrored here' })
  }
  if (!(await visit.visitor.may(action, targetOf(address, config)))) {
    throw await refusal(visit, needsOf(visit, address, action))
  }
}

/**
 * Lets a request for the registry itself pass.
 * @throws {RegistryError} UNAUTHORIZED for whoever has no grant of `admin`.
 */
export async function requireAdministrator(visit: Visit): Promise<void> {
  if (!(await visit.visitor.may('admin', REGISTRY))) throw await refusal(visit, [])
}

/** What to answer a caller who may not. By a capability nobody is asked to log in: there is nothing for it. */
export async function refusal(visit: Visit, needs: readonly Need[]): Promise<RegistryError> {
  const { exchange, services, visitor } = visit
  if (exchange.isCapability) return new RegistryError('NAME_UNKNOWN')
  const { credentials, isToken } = await visitor.authenticate()
  const error = credentials === 'good' ? 'insufficient_scope' : 'invalid_token'
  return unauthorized(exchange, services.config, { needs, error: isToken ? error : undefined })
}

/** Whether anybody could log in to a repository; also while nobody knows: a client that does not log in at all is refused then. */
export async function canLogIn({ services }: Visit): Promise<boolean> {
  const { accounts, issuers } = services.config
  if (issuers.length > 0 || accounts.some(canUse)) return true
  const snapshot = await services.access.snapshot().catch(() => undefined)
  return snapshot?.accounts.some(canUse) ?? true
}

/** An administrator who may do nothing else has no use for a client's login. */
function canUse({ kind, grants }: Account): boolean {
  const actions = new Set(grants.flatMap((grant) => grant.actions))
  actions.delete('admin')
  return kind === 'account' && actions.size > 0
}

/** Whether a caller may read what a canonical name means now, and what kind that is. */
export function findReadable(
  canonical: string,
  caller: Caller,
  config: Config,
): Address | undefined {
  const address = knownAddress(canonical, config)
  if (address === undefined) return undefined
  return may(caller, 'read', targetOf(address, config), config.anonymous) ? address : undefined
}

/** The repository that a canonical name means, where it may be mirrored at all. */
export function knownAddress(canonical: string, config: Config): Address | undefined {
  const address = addressOf(canonical, config)
  if (address === undefined || address.canonical !== canonical) return undefined
  return isMirrorable(address, config) ? address : undefined
}

/** The repository that a name means, without a hint of a request; a name that the configuration leads nowhere has none. */
export function addressOf(name: string, config: Config): Address | undefined {
  // As part of a name its secret would stand in the answer.
  if (nameWithoutCapability(name) !== name) return undefined
  try {
    return resolveAddress({ name, base: undefined, ns: [] }, config.table)
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}

/** A repository as the policy sees it. */
export function targetOf(address: Address, config: Config): PolicyTarget {
  const { kind, canonical } = address
  const upstream = kind === 'mirrored' ? config.upstreams.get(address.host) : undefined
  return { kind, canonical, isPrivate: upstream?.isPrivate(address.repository) ?? false }
}

/** Whether `allow` and `deny` let anybody have the repository. */
export function isMirrorable(address: Address, config: Config): boolean {
  if (address.kind === 'hosted') return true
  return config.upstreams.get(address.host)?.isAllowed(address.repository) ?? true
}

/** The right of one request to have something fetched; notes why it was refused. */
export class FillRight {
  readonly #visit: Visit
  readonly #address: Address
  #isRefused = false
  #failure: unknown

  constructor(visit: Visit, address: Address) {
    this.#visit = visit
    this.#address = address
  }

  /** Asks for it, which counts. Never rejects. */
  readonly admit = async (): Promise<Admission> => {
    try {
      return await this.#admit()
    } catch (error) {
      this.#failure = error
      return { ok: false, retryAfter: undefined }
    }
  }

  /**
   * What is not there, for a caller who has not logged in: it may be there for an account, so that is what to say. A
   * client that has a token for this repository has asked for all that it gets.
   */
  async orLogin(error: unknown): Promise<unknown> {
    // That it could not be found out who asks is no answer to what was asked.
    if (this.#failure !== undefined) return this.#failure
    const isAbsent = error instanceof RegistryError && error.status === 404
    if (!isAbsent || !this.#isRefused || this.#visit.exchange.isCapability) return error
    const { credentials, caller } = await this.#visit.visitor.authenticate()
    const { canonical } = this.#address
    const isFinal =
      caller.kind === 'token'
        ? caller.access.some(({ name }) => name === canonical)
        : credentials === 'good'
    if (isFinal || !(await canLogIn(this.#visit))) return error
    return refusal(this.#visit, needsOf(this.#visit, this.#address, 'pull'))
  }

  async #admit(): Promise<Admission> {
    const { exchange, services, visitor } = this.#visit
    if (!(await visitor.may('pull', targetOf(this.#address, services.config)))) {
      this.#isRefused = true
      return { ok: false, retryAfter: undefined }
    }
    if (this.#address.kind === 'mirrored') {
      const contact = await services.access.contact(this.#address.host)
      if (contact === 'none') return { ok: false, retryAfter: 'closed' }
    }
    const isWithin = await services.access.limits.fill(exchange.client())
    return isWithin ? { ok: true } : { ok: false, retryAfter: RETRY_FILL }
  }
}

/** What a token has to be for, as distribution asks for it; of a mount also its source. */
function needsOf(
  { exchange, services }: Visit,
  address: Address,
  action: RepositoryAction,
): Need[] {
  const actions =
    action === 'delete' ? ['delete'] : ['pull', ...(action === 'create' ? ['push'] : [])]
  const needs: Need[] = [{ type: 'repository', name: address.canonical, actions }]
  const from = exchange.query.has('mount') ? exchange.query.get('from') : null
  const source = from === null ? undefined : addressOf(from, services.config)
  if (action === 'create' && source?.kind === 'hosted' && source.canonical !== address.canonical) {
    needs.push({ type: 'repository', name: source.canonical, actions: ['pull'] })
  }
  return needs
}
