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
}

/** What is asked, whoever asks it. */
type Content = Omit<Combination, 'hasLogin'>

/** What a command line asked for. */
export type Arguments =
  | { readonly ok: true; readonly combinations: readonly Combination[] }
  | { readonly ok: false; readonly message: string }

const USAGE = 'usage: npm run conformance [-- --all]'

const VERSIONS: readonly Version[] = ['1.0', '1.1', 'dev']

/** What is run before every change lands. */
const BY_DEFAULT: readonly Combination[] = [
  { version: '1.0', isSparse: false, hasLogin: false },
  { version: '1.1', isSparse: false, hasLogin: false },
  { version: 'dev', isSparse: true, hasLogin: false },
  { version: 'dev', isSparse: true, hasLogin: true },
]

const ALL: readonly Combination[] = VERSIONS.flatMap((version) =>
  [false, true].flatMap((isSparse) =>
    [false, true].map((hasLogin) => ({ version, isSparse, hasLogin })),
  ),
)

/** Reads the command line: nothing, or `--all`. */
export function parseArguments(given: readonly string[]): Arguments {
  const unknown = given.find((argument) => argument !== '--all')
  if (unknown !== undefined) return { ok: false, message: `unknown: ${unknown}\n${USAGE}` }
  return { ok: true, combinations: given.length > 0 ? ALL : BY_DEFAULT }
}

/** A combination as figures are printed under it, and fit for a file name. */
export function labelOf({ version, isSparse, hasLogin }: Combination): string {
  return `${version}${isSparse ? ' sparse' : ''}${hasLogin ? ' with login' : ''}`
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
