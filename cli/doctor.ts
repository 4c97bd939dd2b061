// `entrepot doctor`: examines a registry from outside, here or deployed, and says in plain words what is wrong and
// what to do about it.

import { isLoopbackHost } from '../src/oci/host.ts'
import type { DoctorArguments } from './doctor-arguments.ts'
import { examine } from './doctor-examination.ts'
import type { Credentials } from './doctor-login.ts'
import { Prober } from './doctor-probe.ts'
import { formatFindings, hasProblem, withoutSecrets } from './doctor-report.ts'
import { EXIT } from './ending.ts'
import { SECRET_VARIABLE, givenLogin, localLogin } from './login.ts'

/**
 * Examines the registry and prints the findings; a problem is a failure.
 * @throws {ArgumentError | Failure}
 */
export async function runDoctor(args: DoctorArguments): Promise<number> {
  const { url, image, push, timeout } = args
  const credentials = await findCredentials(args)
  const prober = new Prober({ request: timeout, all: timeout * 10 })
  const findings = await examine({ url, image, push, credentials, prober })
  const text = args.isJSON ? JSON.stringify({ findings }, undefined, 2) : formatFindings(findings)
  console.log(withoutSecrets(text, typeof credentials === 'string' ? undefined : credentials))
  return hasProblem(findings) ? EXIT.failed : EXIT.fine
}

/** In whose name: of the environment, else of the administrator of here; or why in nobody's. */
async function findCredentials({ url, persistTo }: DoctorArguments): Promise<Credentials | string> {
  const given = givenLogin()
  if (given !== undefined) return given
  // The secret of here goes nowhere else.
  const local = isLoopbackHost(url.hostname) ? await localLogin(persistTo) : undefined
  return local ?? `set ${SECRET_VARIABLE}=<name>:<secret>`
}
