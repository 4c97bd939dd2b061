// The command line of `entrepot account`: which change to which accounts, and grants as one argument each.

import type { Command } from 'commander'

import { ACTIONS, mayHold, parseAccountName } from '../src/auth/account.ts'
import type { Account, GrantText } from '../src/auth/account.ts'
import { parsePattern } from '../src/oci/pattern.ts'
import { offerRegistry, parseRegistry } from './admin-arguments.ts'
import type { RegistryArguments } from './admin-arguments.ts'
import { ADMINISTRATION } from './administrator.ts'
import { gather } from './arguments.ts'
import { ArgumentError } from './failure.ts'
import type { Enlist, Run } from './program.ts'

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

/** What `entrepot account` was asked to do. */
export interface AccountArguments extends RegistryArguments {
  readonly action: AccountAction
}

interface GrantOptions {
  readonly grant?: readonly string[]
  readonly capability?: true
}

const GRANT = 'pattern[,pattern…]=action[,action…]'
const EXAMPLE = `'hosted/**=pull,push'`

const NOTES = `
Secrets are printed once.`

const GRANT_NOTES = `
A grant is ${GRANT}, e.g. ${EXAMPLE}. Patterns are whole names
(docker.io/library/*), actions are ${ACTIONS.join(', ')}.`

/** Offers `account`. */
export function accountCommand(run: Run<AccountArguments>): Enlist {
  return (program, choose) => {
    const account = offerRegistry(
      program
        .command('account')
        .summary('say who may do what in a registry')
        .description('Says who may do what in a registry, here or elsewhere.'),
    ).addHelpText('after', NOTES)
    offerActions(account, (action) => {
      const args = { action, ...parseRegistry(account.opts()) }
      choose(() => run(args))
    })
  }
}

function offerActions(account: Command, take: (action: AccountAction) => void): void {
  account
    .command('add <name>')
    .description('make an account, or a capability: a secret path to pull by without a login')
    .option('--grant <grant>', 'what it may do; may be given several times', gather)
    .option('--capability', 'make a capability')
    .addHelpText('after', GRANT_NOTES)
    .action((name: string, { grant = [], capability }: GrantOptions) => {
      const kind = capability === true ? 'capability' : 'account'
      const grants = grant.map(parseGrantArgument)
      take({ what: 'add', account: newAccount(requireName('add', name), grants, kind) })
    })
  account
    .command('list')
    .description('show all accounts')
    .action(() => take({ what: 'list' }))
  account
    .command('rotate <name>')
    .description('give an account a new secret; the old one ends')
    .action((name: string) => take({ what: 'rotate', name: requireName('rotate', name) }))
  account
    .command('revoke <name>')
    .description('end an account')
    .action((name: string) => take({ what: 'revoke', name: requireName('revoke', name) }))
  account
    .command('audit')
    .description('show who did what, the newest first')
    .action(() => take({ what: 'audit' }))
  account
    .command('bootstrap <name>')
    .description(
      'make a secret, and the value of ACCOUNTS with which a deployment gets its first administrator; no registry is asked',
    )
    .option('--grant <grant>', 'instead of admin; may be given several times', gather)
    .addHelpText('after', GRANT_NOTES)
    .action((text: string, { grant = [] }: GrantOptions) => {
      const name = requireName('bootstrap', text)
      const grants = grant.length === 0 ? [ADMINISTRATION] : grant.map(parseGrantArgument)
      take({ what: 'bootstrap', name, grants })
    })
}

/**
 * Parses a grant.
 * @throws {ArgumentError} that says which part of it is wrong.
 */
function parseGrantArgument(text: string): GrantText {
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

function newAccount(name: string, grants: readonly GrantText[], kind: Account['kind']): NewAccount {
  if (grants.length === 0) {
    throw new ArgumentError(`add: expected at least one --grant ${GRANT}, e.g. ${EXAMPLE}`)
  }
  if (mayHold(kind, grants)) return { name, kind, grants }
  throw new ArgumentError('--grant: a capability can have no other actions than pull and read')
}

function requireName(what: string, text: string): string {
  const name = parseAccountName(text)
  if (name !== undefined) return name
  throw new ArgumentError(
    `${what}: expected the name of an account (lower-case words joined by ".", "_" or "-", 64 characters at most), found ${JSON.stringify(text)}`,
  )
}
