// The command line of `npm run account`: which change to which accounts, grants as one argument each, and the
// text of `--help`.

import { ACTIONS, mayHold, parseAccountName } from '../src/auth/account.ts'
import type { Account, GrantText } from '../src/auth/account.ts'
import { isLoopbackHost } from '../src/oci/host.ts'
import { parsePattern } from '../src/oci/pattern.ts'
import { ADMINISTRATION } from './administrator.ts'
import { ArgumentError, parseCommandLine } from './arguments.ts'

type NewAccount = Pick<Account, 'name' | 'kind' | 'grants'>

/** What is to be done. */
export type AccountAction =
  | { readonly what: 'add'; readonly account: NewAccount }
  | { readonly what: 'revoke' | 'rotate'; readonly name: string }
  | { readonly what: 'list' | 'audit' }
  /** An entry for `ACCOUNTS`, for which no registry is asked. */
  | {
      readonly what: 'bootstrap'
      readonly name: string
      readonly grants: readonly GrantText[]
    }

/** What `npm run account` was asked to do. */
export interface AccountArguments {
  readonly action: AccountAction
  readonly url: URL
  /** The folder with the local administrator's secret; undefined where that registry is none of here. */
  readonly persistTo: string | undefined
  readonly isJSON: boolean
}

const DEFAULT_URL = 'http://127.0.0.1:5050'
const DEFAULT_FOLDER = '.entrepot'
const GRANT = 'pattern[,pattern…]=action[,action…]'
const EXAMPLE = `'hosted/**=pull,push'`

/** The text of `--help`. */
export const ACCOUNT_HELP = `npm run account -- <what to do> [options]: who may do what in a registry

  add <name> --grant <grant> [--grant …] [--capability]
                       make an account, or a capability: a secret path to pull by without a login
  list                 show all accounts
  rotate <name>        give an account a new secret; the old one ends
  revoke <name>        end an account
  audit                show who has changed accounts, the newest change first
  bootstrap <name>     make a secret, and the value of ACCOUNTS with which a deployment gets its first
                       administrator; no registry is asked

  --grant <grant>      ${GRANT}, e.g. ${EXAMPLE}. Patterns are whole names
                       (docker.io/library/*), actions are ${ACTIONS.join(', ')}
  --url <address>      the registry (${DEFAULT_URL})
  --persist-to <path>  the folder of a registry on this machine, whose administrator asks (${DEFAULT_FOLDER})
  --json               print JSON
  --help               print this

A registry that is not on this machine is asked in the name of the administrator in the environment
variable ENTREPOT_SECRET, <name>:<secret>. Secrets are printed once.`

/**
 * Parses the command line; `help` when that was asked for.
 * @throws {ArgumentError}
 */
export function parseAccountArguments(args: readonly string[]): AccountArguments | 'help' {
  const { values, positionals } = parseCommandLine({
    args: [...args],
    allowPositionals: true,
    options: {
      grant: { type: 'string', multiple: true },
      capability: { type: 'boolean' },
      url: { type: 'string' },
      'persist-to': { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help === true) return 'help'
  const grants = (values.grant ?? []).map(parseGrantArgument)
  const action = parseAction(positionals, grants, values.capability === true)
  const url = parseURL(values.url ?? DEFAULT_URL)
  const folder = values['persist-to']
  return {
    action,
    url,
    // The secret of here goes nowhere else unasked.
    persistTo: folder ?? (isLoopbackHost(url.hostname) ? DEFAULT_FOLDER : undefined),
    isJSON: values.json === true,
  }
}

/**
 * Parses a grant.
 * @throws {ArgumentError} that says which part of it is wrong.
 */
export function parseGrantArgument(text: string): GrantText {
  const [, patterns = '', words = ''] = /^([^=]+)=([^=]+)$/.exec(text) ?? []
  if (patterns === '') {
    throw new ArgumentError(
      `--grant: expected ${GRANT}, e.g. ${EXAMPLE}, found ${JSON.stringify(text)}`,
    )
  }
  const repositories = patterns.split(',').map((pattern) => {
    if (parsePattern(pattern) !== undefined) return pattern
    throw new ArgumentError(
      `--grant: expected repository patterns (lower-case components, "*" within one, "**" for any number of them), found ${JSON.stringify(pattern)}`,
    )
  })
  const actions = words.split(',').map((word) => {
    const action = ACTIONS.find((each) => each === word)
    if (action !== undefined) return action
    throw new ArgumentError(
      `--grant: expected actions (${ACTIONS.join(', ')}), found ${JSON.stringify(word)}`,
    )
  })
  return { repositories, actions }
}

function parseAction(
  [what = '', name, ...others]: readonly string[],
  grants: readonly GrantText[],
  isCapability: boolean,
): AccountAction {
  const command = COMMANDS.get(what)
  if (command === undefined) {
    const commands = [...COMMANDS.keys()].join(', ')
    const found = what === '' ? 'nothing' : JSON.stringify(what)
    throw new ArgumentError(`expected one of ${commands}, found ${found} (--help says more)`)
  }
  if (isCapability && what !== 'add') throw new ArgumentError('--capability belongs to add')
  if (grants.length > 0 && !['add', 'bootstrap'].includes(what)) {
    throw new ArgumentError('--grant belongs to add and bootstrap')
  }
  const [extra] = command.isNamed ? others : [name, ...others]
  if (extra !== undefined) throw new ArgumentError(`Unexpected argument ${JSON.stringify(extra)}`)
  return command.parse(command.isNamed ? requireName(what, name) : '', { grants, isCapability })
}

interface Command {
  /** Whether it is for one account. */
  readonly isNamed: boolean
  readonly parse: (
    name: string,
    given: { readonly grants: readonly GrantText[]; readonly isCapability: boolean },
  ) => AccountAction
}

const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  [
    'add',
    {
      isNamed: true,
      parse: (name, { grants, isCapability }) => ({
        what: 'add',
        account: newAccount(name, grants, isCapability ? 'capability' : 'account'),
      }),
    },
  ],
  ['list', { isNamed: false, parse: () => ({ what: 'list' }) }],
  ['rotate', { isNamed: true, parse: (name) => ({ what: 'rotate', name }) }],
  ['revoke', { isNamed: true, parse: (name) => ({ what: 'revoke', name }) }],
  ['audit', { isNamed: false, parse: () => ({ what: 'audit' }) }],
  [
    'bootstrap',
    {
      isNamed: true,
      parse: (name, { grants }) => ({
        what: 'bootstrap',
        name,
        grants: grants.length > 0 ? grants : [ADMINISTRATION],
      }),
    },
  ],
])

function newAccount(name: string, grants: readonly GrantText[], kind: Account['kind']): NewAccount {
  if (grants.length === 0) {
    throw new ArgumentError(`add: expected at least one --grant ${GRANT}, e.g. ${EXAMPLE}`)
  }
  if (mayHold(kind, grants)) return { name, kind, grants }
  throw new ArgumentError('--grant: a capability can have no other actions than pull and read')
}

function requireName(what: string, text: string | undefined): string {
  const name = text === undefined ? undefined : parseAccountName(text)
  if (name !== undefined) return name
  const found = text === undefined ? 'nothing' : JSON.stringify(text)
  throw new ArgumentError(
    `${what}: expected the name of an account (lower-case words joined by ".", "_" or "-", 64 characters at most), found ${found}`,
  )
}

function parseURL(text: string): URL {
  const url = URL.parse(text)
  const isAddress = url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`
  if (!isAddress) {
    // Somebody may have put a secret in.
    const found = JSON.stringify(text.replace(/^.*@/s, '…@'))
    throw new ArgumentError(
      `--url: expected the address of a registry, e.g. https://registry.example.com, found ${found}`,
    )
  }
  if (url.protocol === 'https:' || isLoopbackHost(url.hostname)) return url
  throw new ArgumentError(
    '--url: expected https, since a secret is sent there (http on this machine only)',
  )
}
