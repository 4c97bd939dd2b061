// The command line of `npm run doctor`: which registry, which image, and the text of `--help`.

import type { RepositoryName } from '../src/oci/repository-name.ts'
import { parseRepositoryName } from '../src/oci/repository-name.ts'
import { ArgumentError, parseCommandLine } from './arguments.ts'
import type { Image } from './doctor-image.ts'
import { parseImage } from './doctor-image.ts'

/** What `npm run doctor` was asked to do. */
export interface DoctorArguments {
  readonly url: URL
  readonly image: Image | undefined
  readonly push: RepositoryName | undefined
  /** The folder of a registry on this machine. */
  readonly persistTo: string
  /** How long to wait for one answer (seconds). */
  readonly timeout: number
  readonly isJSON: boolean
}

const DEFAULT_TIMEOUT = 30
const EXAMPLE = 'https://registry.example.com'

/** The text of `--help`. */
export const DOCTOR_HELP = `npm run doctor -- <url> [options]: what is wrong with a registry, seen from outside

  <url>                its address, e.g. ${EXAMPLE} or http://127.0.0.1:5050
  --image <image>      the image to pull a part of, e.g. docker.io/library/alpine:latest; without it one that is
                       there already, else a small public one
  --push <repository>  start an upload there and cancel it again, e.g. hosted/app
  --persist-to <path>  the folder of a registry on this machine, whose administrator asks (.entrepot)
  --timeout <seconds>  wait so long for an answer (${DEFAULT_TIMEOUT}), and ten times that for all of them
  --json               print JSON
  --help               print this

It asks in the name of ENTREPOT_SECRET=<name>:<secret>; without it, and on this machine, of the local
administrator; else of nobody, and says what could not be checked. No secret and no signed URL is printed.
Ends with 0 if there is no problem, with 1 if there is one, with 2 if it was not understood.`

/**
 * Parses the command line; `help` when that was asked for.
 * @throws {ArgumentError}
 */
export function parseDoctorArguments(args: readonly string[]): DoctorArguments | 'help' {
  const { values, positionals } = parseCommandLine({
    args: [...args],
    allowPositionals: true,
    options: {
      image: { type: 'string' },
      push: { type: 'string' },
      'persist-to': { type: 'string' },
      timeout: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help === true) return 'help'
  const [address, extra] = positionals
  if (extra !== undefined) throw new ArgumentError(`Unexpected argument ${JSON.stringify(extra)}`)
  const url = parseAddress(address)
  return {
    url,
    image: values.image === undefined ? undefined : requireImage(values.image, url),
    push: values.push === undefined ? undefined : requireRepository(values.push),
    persistTo: values['persist-to'] ?? '.entrepot',
    timeout: values.timeout === undefined ? DEFAULT_TIMEOUT : requireSeconds(values.timeout),
    isJSON: values.json === true,
  }
}

function parseAddress(text: string | undefined): URL {
  const url = text === undefined ? null : URL.parse(text)
  if (url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url
  // Somebody may have put a secret in.
  const found = text === undefined ? 'nothing' : JSON.stringify(text.replace(/^.*@/s, '…@'))
  throw new ArgumentError(
    `expected the address of a registry, e.g. ${EXAMPLE}, found ${found} (--help says more)`,
  )
}

function requireImage(text: string, url: URL): Image {
  const image = parseImage(text, url)
  if (image !== undefined) return image
  throw new ArgumentError(
    `--image: expected <repository>:<tag>, e.g. docker.io/library/alpine:latest, found ${JSON.stringify(text)}`,
  )
}

function requireRepository(text: string): RepositoryName {
  const repository = parseRepositoryName(text)
  if (repository !== undefined) return repository
  throw new ArgumentError(
    `--push: expected a repository, e.g. hosted/app, found ${JSON.stringify(text)}`,
  )
}

function requireSeconds(text: string): number {
  const seconds = Number(text)
  if (/^\d+(?:\.\d+)?$/.test(text) && seconds > 0 && seconds <= 3600) return seconds
  throw new ArgumentError(
    `--timeout: expected a number of seconds, 3600 at most, found ${JSON.stringify(text)}`,
  )
}
