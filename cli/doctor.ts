// `npm run doctor`: examines a registry from outside, here or deployed, and says in plain words what is wrong and
// what to do about it.

import { isLoopbackHost } from '../src/oci/host.ts'
import {
  ADMINISTRATOR,
  AdministratorError,
  administratorFile,
  readAdministrator,
} from './administrator.ts'
import { ArgumentError } from './arguments.ts'
import { DOCTOR_HELP, parseDoctorArguments } from './doctor-arguments.ts'
import type { DoctorArguments } from './doctor-arguments.ts'
import { examine } from './doctor-examination.ts'
import type { Credentials } from './doctor-login.ts'
import { Prober } from './doctor-probe.ts'
import { formatFindings, hasProblem, withoutSecrets } from './doctor-report.ts'

/** Holds `<name>:<secret>` of an account. */
const SECRET_VARIABLE = 'ENTREPOT_SECRET'

const NOT_UNDERSTOOD = 2

async function main(): Promise<number> {
  const args = parseDoctorArguments(process.argv.slice(2))
  if (args === 'help') {
    console.log(DOCTOR_HELP)
    return 0
  }
  const { url, image, push, timeout } = args
  const credentials = await findCredentials(args)
  const prober = new Prober({ request: timeout, all: timeout * 10 })
  const findings = await examine({ url, image, push, credentials, prober })
  const text = args.isJSON ? JSON.stringify({ findings }, undefined, 2) : formatFindings(findings)
  console.log(withoutSecrets(text, typeof credentials === 'string' ? undefined : credentials))
  return hasProblem(findings) ? 1 : 0
}

/** In whose name: of the environment, else of the administrator of here; or why in nobody's. */
async function findCredentials({ url, persistTo }: DoctorArguments): Promise<Credentials | string> {
  const given = process.env[SECRET_VARIABLE] ?? ''
  const colon = given.indexOf(':')
  if (colon > 0) {
    return { name: given.slice(0, colon), secret: given.slice(colon + 1), from: SECRET_VARIABLE }
  }
  const wanted = `${SECRET_VARIABLE}=<name>:<secret>`
  if (given !== '') throw new ArgumentError(`expected ${wanted}, found no ":" in it`)
  // The secret of here goes nowhere else.
  const secret = isLoopbackHost(url.hostname) ? await readAdministrator(persistTo) : undefined
  if (secret === undefined) return `set ${wanted}`
  return { name: ADMINISTRATOR, secret, from: administratorFile(persistTo) }
}

try {
  process.exitCode = await main()
} catch (error) {
  const isExpected = [ArgumentError, AdministratorError].some((kind) => error instanceof kind)
  console.error(isExpected && error instanceof Error ? error.message : error)
  process.exitCode = NOT_UNDERSTOOD
}
