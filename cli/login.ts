// In whose name a registry is asked: somebody of the environment, or the administrator that a registry on this machine
// has.

import { ADMINISTRATOR, administratorFile, readAdministrator } from './administrator.ts'
import { ArgumentError, Failure } from './failure.ts'

/** Holds `<name>:<secret>` of an account. */
export const SECRET_VARIABLE = 'ENTREPOT_SECRET'

/** Who asks. */
export interface Login {
  readonly name: string
  readonly secret: string
  /** Where it was found. */
  readonly from: string
}

/**
 * Whoever the environment says.
 * @throws {ArgumentError} where that is nobody's name.
 */
export function givenLogin(): Login | undefined {
  const given = process.env[SECRET_VARIABLE] ?? ''
  if (given === '') return undefined
  const colon = given.indexOf(':')
  if (colon > 0) {
    return { name: given.slice(0, colon), secret: given.slice(colon + 1), from: SECRET_VARIABLE }
  }
  const found = colon < 0 ? 'no ":" in it' : 'no name in it'
  throw new ArgumentError(`expected ${SECRET_VARIABLE}=<name>:<secret>, found ${found}`)
}

/**
 * The administrator of the registry whose folder this is, if it has one.
 * @throws {Failure}
 */
export async function localLogin(persistTo: string): Promise<Login | undefined> {
  const secret = await readAdministrator(persistTo)
  if (secret === undefined) return undefined
  return { name: ADMINISTRATOR, secret, from: administratorFile(persistTo) }
}

/**
 * Who asks as an administrator: the one of the folder, if it has one, else the one of the environment.
 * @throws {ArgumentError | Failure} where there is neither.
 */
export async function requireLogin(url: URL, persistTo: string | undefined): Promise<Login> {
  const local = persistTo === undefined ? undefined : await localLogin(persistTo)
  const login = local ?? givenLogin()
  if (login !== undefined) return login
  const wanted = `${SECRET_VARIABLE}=<name>:<secret> of an administrator`
  throw new Failure(
    persistTo === undefined
      ? `${url.origin} is not on this machine: set ${wanted}`
      : `${persistTo} has no administrator: start the registry once, or set ${wanted}`,
  )
}
