// The command line of `entrepot import`: one image, or the repositories of another registry.

import { isLoopbackHost } from '../src/oci/host.ts'
import { parsePattern } from '../src/oci/pattern.ts'
import { parseRepositoryName } from '../src/oci/repository-name.ts'
import { gather } from './arguments.ts'
import { ArgumentError } from './failure.ts'
import { formatImageArgument, parseImageArgument, requireImage } from './image-argument.ts'
import { offerJob, offerPlatforms, parseJobOptions, platformsOf } from './job-arguments.ts'
import type { JobOptions, PlatformOptions } from './job-arguments.ts'
import type { Order } from './job.ts'
import type { JobArguments } from './job-run.ts'
import type { Enlist, Run } from './program.ts'

interface Options extends JobOptions, PlatformOptions {
  readonly from?: string
  readonly repositories?: readonly string[]
  readonly realm?: readonly string[]
  readonly to?: string
}

/** Holds `<name>:<password>` of an account of the registry that is imported from. */
export const SOURCE_VARIABLE = 'ENTREPOT_SOURCE'

const NOTES = `
An image comes with all its platforms, signatures and other referrers, and every byte is verified. The registry fetches
it by itself, so no limit of uploads counts. What is there already is not copied again: an import that broke off, or
that is repeated every night, copies what is missing. A login to the registry behind --from stands in
${SOURCE_VARIABLE}=<name>:<password>; upstreams are asked with the logins that the registry has for them.

Examples: entrepot import docker.io/library/nginx:1.29 hosted/nginx:1.29 --platforms linux/amd64
          entrepot import --from https://old.example/ --repositories 'team/**' --to hosted/team`

/** Offers `import`. */
export function importCommand(run: Run<JobArguments>): Enlist {
  return (program, choose) => {
    offerPlatforms(
      offerJob(
        program
          .command('import [from] [to]')
          .summary('copy images into hosted repositories')
          .description(
            'Copies an image, or the repositories of another registry, into hosted ones.',
          )
          .option('--from <url>', 'another registry, e.g. https://old.example/')
          .option(
            '--repositories <pattern>',
            'which of its repositories, e.g. team/**; may be given several times',
            gather,
          )
          .option(
            '--realm <origin>',
            'a further origin that hands out its tokens, e.g. https://login.example; may be given several times',
            gather,
          )
          .option('--to <prefix>', 'under which name they go, e.g. hosted/team'),
      ),
    )
      .addHelpText('after', NOTES)
      .action((from: string | undefined, to: string | undefined, options: Options) => {
        const order =
          from === undefined ? parseRegistryOrder(options) : parseImageOrder(from, to, options)
        const args = { ...parseJobOptions(options), order }
        choose(() => run(args))
      })
  }
}

function parseImageOrder(source: string, to: string | undefined, options: Options): Order {
  if (to === undefined) {
    throw new ArgumentError('import: expected two images, from where and to where, found one')
  }
  const { from: registry, repositories, realm, to: prefix } = options
  if ([registry, repositories, realm, prefix].some((each) => each !== undefined)) {
    throw new ArgumentError('import: expected two images, or --from, --repositories and --to')
  }
  const from = requireImage('import', source)
  const target = parseImageArgument('import', to)
  const tag = parseImageArgument('import', source).reference
  // The same tag, where no other is named; what is named by its digest needs none.
  const named = {
    ...target,
    reference: target.reference ?? (tag?.kind === 'tag' ? tag : undefined),
  }
  return {
    kind: 'import',
    images: [{ from, to: formatImageArgument(named) }],
    ...platformsOf(options),
  }
}

function parseRegistryOrder(options: Options): Order {
  const { from, repositories, realm, to } = options
  if (from === undefined || repositories === undefined || to === undefined) {
    throw new ArgumentError(
      'import: expected two images, or all of --from, --repositories and --to',
    )
  }
  const credential = givenCredential()
  return {
    kind: 'import',
    from: requireSource(from),
    repositories: repositories.flatMap((value) => value.split(',')).map(requirePattern),
    to: requirePrefix(to),
    ...(realm && { realms: realm.map(requireOrigin) }),
    ...(credential && { credential }),
    ...platformsOf(options),
  }
}

/** @throws {ArgumentError} */
function requireSource(text: string): string {
  const url = URL.parse(text)
  const isBare = url !== null && `${url.username}${url.password}${url.search}${url.hash}` === ''
  const isSafe = url?.protocol === 'https:' || (url !== null && isLocal(url))
  if (isBare && isSafe) return url.href
  // Somebody may have put a secret in.
  const found = JSON.stringify(text.replace(/^.*@/s, '…@'))
  throw new ArgumentError(
    `--from: expected the https address of a registry, e.g. https://old.example/, found ${found}`,
  )
}

/** @throws {ArgumentError} */
function requireOrigin(text: string): string {
  const url = URL.parse(text)
  if (url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) {
    return url.origin
  }
  const found = JSON.stringify(text.replace(/^.*@/s, '…@'))
  throw new ArgumentError(`--realm: expected e.g. https://login.example, found ${found}`)
}

function isLocal({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && isLoopbackHost(hostname)
}

/** @throws {ArgumentError} */
function requirePattern(text: string): string {
  if (parsePattern(text) !== undefined) return text
  throw new ArgumentError(
    `--repositories: expected repository patterns (lower-case components, "*" within one, "**" for any number of them), found ${JSON.stringify(text)}`,
  )
}

/** @throws {ArgumentError} */
function requirePrefix(text: string): string {
  if (parseRepositoryName(text) !== undefined) return text
  throw new ArgumentError(
    `--to: expected the beginning of a repository's name, e.g. hosted/team, found ${JSON.stringify(text)}`,
  )
}

/**
 * The login to the source, which no list of processes shows.
 * @throws {ArgumentError} that does not show it either.
 */
function givenCredential(): { readonly username: string; readonly password: string } | undefined {
  const given = process.env[SOURCE_VARIABLE] ?? ''
  if (given === '') return undefined
  const colon = given.indexOf(':')
  if (colon > 0) return { username: given.slice(0, colon), password: given.slice(colon + 1) }
  throw new ArgumentError(
    `expected ${SOURCE_VARIABLE}=<name>:<password>, found ${colon < 0 ? 'no ":" in it' : 'no name in it'}`,
  )
}
