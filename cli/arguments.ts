// What the arguments of several commands have in common: the registry that is meant, and the folder of one that is on
// this machine.

import { ArgumentError } from './failure.ts'

/** The registry that `entrepot serve` starts. */
export const DEFAULT_URL = 'http://127.0.0.1:5050'

/** The folder that it keeps its state in. */
export const DEFAULT_FOLDER = '.entrepot'

/** The options of a command that prints results. */
export interface CommonOptions {
  readonly url?: string
  readonly persistTo?: string
  readonly json?: true
}

/** Adds a value to those of an option that may be given several times. */
export function gather(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/**
 * The address of a registry.
 * @throws {ArgumentError}
 */
export function parseAddress(option: string, text: string): URL {
  const url = URL.parse(text)
  if (url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url
  // Somebody may have put a secret in.
  const found = JSON.stringify(text.replace(/^.*@/s, '…@'))
  throw new ArgumentError(
    `${option}: expected the address of a registry, e.g. https://registry.example.com, found ${found}`,
  )
}

/**
 * What stands behind an option and may be any text, but is no other option: then its own value was forgotten.
 * @throws {ArgumentError}
 */
export function parseText(option: string, text: string): string {
  if (!text.startsWith('--')) return text
  throw new ArgumentError(`${option}: expected a value, found the option ${nameOf(text)}`)
}

/** The name of an option, without a value that may be a secret. */
function nameOf(text: string): string {
  return JSON.stringify(text.replace(/=.*$/s, '=…'))
}
