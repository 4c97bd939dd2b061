// The command line of `entrepot doctor`: which registry, which image.

import type { RepositoryName } from '../src/oci/repository-name.ts'
import { parseRepositoryName } from '../src/oci/repository-name.ts'
import { DEFAULT_FOLDER, DEFAULT_URL, parseAddress, parseText } from './arguments.ts'
import type { CommonOptions } from './arguments.ts'
import type { Image } from './doctor-image.ts'
import { parseImage } from './doctor-image.ts'
import { ArgumentError } from './failure.ts'
import type { Enlist, Run } from './program.ts'

/** What `entrepot doctor` was asked to do. */
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

interface Options extends CommonOptions {
  readonly image?: string
  readonly push?: string
  readonly timeout: string
}

const DEFAULT_TIMEOUT = '30'

const NOTES = `
It asks in the name of ENTREPOT_SECRET=<name>:<secret>; without it, and on this machine, of the local administrator;
else of nobody, and says what could not be checked. No secret and no signed URL is printed.`

/** Offers `doctor`. */
export function doctorCommand(run: Run<DoctorArguments>): Enlist {
  return (program, choose) => {
    program
      .command('doctor')
      .summary('say what is wrong with a registry')
      .description('Examines a registry from outside, and says what is wrong and what to do.')
      .argument('[url]', `its address, as by --url (default: "${DEFAULT_URL}")`)
      .option('--url <address>', 'its address, e.g. https://registry.example.com')
      .option(
        '--image <image>',
        'the image to pull a part of, e.g. docker.io/library/alpine:latest; without it one that is there already, else a small public one',
      )
      .option('--push <repository>', 'start an upload there and cancel it again, e.g. hosted/app')
      .option(
        '--persist-to <path>',
        'the folder of a registry on this machine, whose administrator asks',
        DEFAULT_FOLDER,
      )
      .option(
        '--timeout <seconds>',
        'wait so long for an answer, and ten times that for all of them',
        DEFAULT_TIMEOUT,
      )
      .option('--json', 'print JSON')
      .addHelpText('after', NOTES)
      .action((address: string | undefined, options: Options) => {
        const args = parseDoctorOptions(address, options)
        choose(() => run(args))
      })
  }
}

function parseDoctorOptions(
  address: string | undefined,
  { url: named, image, push, persistTo = DEFAULT_FOLDER, timeout, json }: Options,
): DoctorArguments {
  if (address !== undefined && named !== undefined) {
    throw new ArgumentError('--url: expected one address, found another beside it')
  }
  const url =
    address === undefined
      ? parseAddress('--url', named ?? DEFAULT_URL)
      : parseAddress('url', address)
  return {
    url,
    image: image === undefined ? undefined : requireImage(image, url),
    push: push === undefined ? undefined : requireRepository(push),
    persistTo: parseText('--persist-to', persistTo),
    timeout: requireSeconds(timeout),
    isJSON: json === true,
  }
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
