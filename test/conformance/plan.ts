// What the official suite is run as: the axes of its configuration, which of their combinations a run takes, and
// what the suite leaves out of each by itself.

/** The versions of the specification that the suite knows; `dev` is its main branch. */
export type Version = '1.0' | '1.1' | 'dev'

/** One value of every axis. */
export interface Combination {
  readonly version: Version
  /** Whether manifests are pushed whose children are missing; a repository must be configured to take them. */
  readonly isSparse: boolean
  /** Whether nobody may do anything without a login. */
  readonly hasLogin: boolean
  /** Whether blobs are read from storage after a redirect, or streamed. */
  readonly isRedirected: boolean
}

/** What is asked, whoever asks it, and from wherever blobs come. */
type Content = Pick<Combination, 'version' | 'isSparse'>

/** What not every registry has. */
export interface Abilities {
  /** Accounts, so that it can be asked by somebody. */
  readonly hasLogin: boolean
  /** Storage that clients can be sent to. */
  readonly hasRedirects: boolean
}

/** What a command line asked for. */
export type Arguments =
  | { readonly ok: true; readonly combinations: readonly Combination[] }
  | { readonly ok: false; readonly message: string }

const USAGE = 'usage: npm run conformance [-- --all]'

const VERSIONS: readonly Version[] = ['1.0', '1.1', 'dev']

/**
 * What is run before every change lands. The released versions are redirected, as the registry is by default, one of
 * them with a login, which must not follow to storage. dev streamed asks for all that they ask for streamed.
 */
const BY_DEFAULT: readonly Combination[] = [
  { version: '1.0', isSparse: false, hasLogin: true, isRedirected: true },
  { version: '1.1', isSparse: false, hasLogin: false, isRedirected: true },
  { version: 'dev', isSparse: true, hasLogin: false, isRedirected: false },
  { version: 'dev', isSparse: true, hasLogin: true, isRedirected: false },
]

/**
 * Every combination but dev redirected: dev wants a `Docker-Content-Digest` on the last answer, which is storage's, and
 * S3 has no such header.
 */
const ALL: readonly Combination[] = VERSIONS.flatMap((version) =>
  (version === 'dev' ? [false] : [false, true]).flatMap((isRedirected) =>
    [false, true].flatMap((isSparse) =>
      [false, true].map((hasLogin) => ({ version, isSparse, hasLogin, isRedirected })),
    ),
  ),
)

/** Reads the command line: nothing, or `--all`. */
export function parseArguments(given: readonly string[]): Arguments {
  const unknown = given.find((argument) => argument !== '--all')
  if (unknown !== undefined) return { ok: false, message: `unknown: ${unknown}\n${USAGE}` }
  return { ok: true, combinations: given.length > 0 ? ALL : BY_DEFAULT }
}

/** The combinations as a registry can be asked in them, each once. */
export function fitting(
  combinations: readonly Combination[],
  { hasLogin, hasRedirects }: Abilities,
): readonly Combination[] {
  const able = combinations.map((one) => ({
    ...one,
    hasLogin: one.hasLogin && hasLogin,
    isRedirected: one.isRedirected && hasRedirects,
  }))
  return [...new Map(able.map((one) => [labelOf(one), one])).values()]
}

/** A combination as figures are printed under it, and fit for a file name. */
export function labelOf({ version, isSparse, hasLogin, isRedirected }: Combination): string {
  const words = [
    version,
    ...(isSparse ? ['sparse'] : []),
    ...(hasLogin ? ['with login'] : []),
    ...(isRedirected ? ['redirected'] : []),
  ]
  return words.join(' ')
}

/** A combination as the suite's environment variables. */
export function environmentOf({ version, isSparse }: Content): Readonly<Record<string, string>> {
  return { OCI_VERSION: version, OCI_DATA_SPARSE: String(isSparse) }
}

/** The APIs and sets of data that the suite does not ask for in a combination, with the reason; nothing else may be missing. */
export function leftOut({ version, isSparse }: Content): ReadonlyMap<string, string> {
  const because = (reason: string, ...names: readonly string[]): readonly [string, string][] =>
    names.map((name) => [name, reason])
  return new Map([
    ...(version === 'dev'
      ? []
      : because(
          'new on main',
          'Blob upload cancel',
          'Manifest put with tag params',
          'Tag Param',
          'Tag Param sha512',
        )),
    ...(version === '1.0' ? because('new in 1.1', 'Blob anonymous mount', 'Referrers') : []),
    ...(isSparse ? [] : because('needs OCI_DATA_SPARSE', 'Sparse Manifests')),
  ])
}

/** What is wrong with how blobs were read, by the registry's own count. */
export function misdelivered(
  { isRedirected }: Pick<Combination, 'isRedirected'>,
  { redirected, streamed }: { readonly redirected: number; readonly streamed: number },
): readonly string[] {
  if (isRedirected) return redirected > 0 ? [] : ['no blob was redirected']
  return [
    ...(redirected > 0 ? [`${redirected} blobs were redirected`] : []),
    ...(streamed > 0 ? [] : ['no blob was streamed']),
  ]
}
