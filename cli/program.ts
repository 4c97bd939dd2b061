// The command line as a whole: which command is meant, what is printed where none is, and how it ends. A command brings
// its own options, and what it does is loaded when it is asked for.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { Command, CommanderError, Help } from 'commander'
import type { Option } from 'commander'

import { EXIT } from './ending.ts'
import { ArgumentError, Failure } from './failure.ts'

/** What a command does; returns how the program ends. */
export type Run<T> = (args: T) => Promise<number>

/** Puts a command on the program. It chooses what is to be done once its arguments are understood. */
export type Enlist = (program: Command, choose: (task: Task) => void) => void

/** Where a program writes. */
export interface Output {
  readonly print: (text: string) => void
  /** Takes what went wrong: a sentence, or something that nobody expected. */
  readonly complain: (what: unknown) => void
}

type Task = () => Promise<number>

const NOTES = `
A command that asks a registry takes its address by --url, and in the environment variable ENTREPOT_SECRET,
<name>:<secret>, in whose name; a registry on this machine has an administrator for that.

In a clone of the repository: npx entrepot <command>, or npm start, npm run account -- <options> and so on.
Ends with 0 if all is well, with 1 if something failed or a problem was found, with 2 if the command line was not
understood.`

/** Does what the arguments say; returns how the program ends. */
export async function runProgram(
  args: readonly string[],
  commands: readonly Enlist[],
  output: Output,
): Promise<number> {
  try {
    const task = parse(args, commands, output)
    return await task()
  } catch (error) {
    const isExpected = error instanceof ArgumentError || error instanceof Failure
    output.complain(isExpected ? error.message : error)
    return error instanceof ArgumentError ? EXIT.notUnderstood : EXIT.failed
  }
}

/** @throws {ArgumentError} */
function parse(args: readonly string[], commands: readonly Enlist[], output: Output): Task {
  let task: Task | undefined
  const help = { asked: '', missed: '' }
  const program = new Command('entrepot')
    .description('An OCI registry that mirrors others, and its tools.')
    .version(readVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .helpCommand('help [command]', 'print the help of a command')
    .configureHelp({ showGlobalOptions: true, visibleGlobalOptions })
    .addHelpText('after', NOTES)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => (help.asked += text),
      writeErr: (text) => (help.missed += text),
      outputError: () => undefined,
    })
  for (const enlist of commands) enlist(program, (chosen) => (task = chosen))
  for (const command of program.commands) command.hook('preSubcommand', refuseStranger)
  try {
    program.parse(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode !== EXIT.fine) {
      throw new ArgumentError(help.missed.trimEnd() || explain(error), { cause: error })
    }
  }
  if (task !== undefined) return task
  return async () => {
    output.print(help.asked.trimEnd())
    return EXIT.fine
  }
}

/**
 * A word that is none of a command's subcommands, where the one that is meant without a word takes none: it is one that
 * was not spelled right, and not too much for the other.
 * @throws {CommanderError}
 */
function refuseStranger(command: Command, chosen: Command): void {
  const [word = ''] = command.args
  const isOther = ['', 'help'].includes(word) || word.startsWith('-')
  if (isOther || word === chosen.name() || chosen.registeredArguments.length > 0) return
  // Commander's own words for it, and what it would suggest.
  const names = new Command().copyInheritedSettings(command)
  for (const each of command.commands) names.command(each.name())
  names.parse([word], { from: 'user' })
}

/** The options that a command shares with others: not those that only the program itself has. */
function visibleGlobalOptions(this: Help, command: Command): Option[] {
  const all = Help.prototype.visibleGlobalOptions.call(this, command)
  return all.filter(({ long }) => long !== '--version')
}

/** In one line, and without the value of an option that there is not, which may be a secret. */
function explain({ message }: CommanderError): string {
  const [what = '', suggestion] = message.replace(/^error: /, '').split('\n')
  const told = what.replace(/^(unknown option '[^=]*)=.*'$/s, `$1=…'`)
  return `${told} ${suggestion ?? '(--help says more)'}`
}

function readVersion(): string {
  const file = join(import.meta.dirname, '..', 'package.json')
  return JSON.parse(readFileSync(file, 'utf8')).version
}
