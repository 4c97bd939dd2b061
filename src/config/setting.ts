// One value of the configuration and the path to it: read as what it must be, or refused with a
// message that names the key, what was expected and what was found. Secrets are never shown.

import type { Pattern } from '../oci/pattern.ts'
import { parsePattern } from '../oci/pattern.ts'

/** A configuration that is not to be started with. The message is one line for whoever wrote it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** A value as it was written, with its path, e.g. `UPSTREAMS["ghcr.io"].tagTTL`. */
export interface Setting {
  readonly path: string
  readonly value: unknown
  readonly isSecret: boolean
}

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const DURATION = /^(\d{1,6})([smhd])$/

/** Refuses a setting. */
export function refuse(setting: Setting, expected: string): never {
  throw new ConfigError(`${setting.path}: expected ${expected}, found ${describe(setting)}`)
}

/** A variable of the Worker, with the JSON decoded in which structured values may be given. */
export function settingOf(name: string, value: unknown, isSecret: boolean): Setting {
  const setting = { path: name, value, isSecret }
  if (typeof value !== 'string' || !/^\s*["[{]/.test(value)) return setting
  try {
    return { ...setting, value: JSON.parse(value) }
  } catch {
    return refuse(setting, 'valid JSON')
  }
}

/** The members of an object. With `known`, any other key is refused. */
export function readObject(
  setting: Setting,
  expected: string,
  known?: readonly string[],
): ReadonlyMap<string, Setting> {
  const { path, value, isSecret } = setting
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse(setting, expected)
  }
  const members = new Map<string, Setting>()
  for (const [key, member] of Object.entries(value)) {
    const memberPath = /^[A-Za-z_]+$/.test(key) ? `${path}.${key}` : `${path}[${quote(key)}]`
    if (known?.includes(key) === false) {
      throw new ConfigError(
        `${memberPath}: expected one of ${known.join(', ')}, found an unknown key`,
      )
    }
    members.set(key, { path: memberPath, value: member, isSecret })
  }
  return members
}

/** The entries of a list. */
export function readList(setting: Setting, expected: string): readonly Setting[] {
  const { path, value, isSecret } = setting
  if (!Array.isArray(value)) return refuse(setting, expected)
  return value.map((entry: unknown, index) => ({
    path: `${path}[${index}]`,
    value: entry,
    isSecret,
  }))
}

/** A member that must be there. */
export function readMember(
  members: ReadonlyMap<string, Setting>,
  key: string,
  of: Setting,
): Setting {
  return members.get(key) ?? { path: `${of.path}.${key}`, value: undefined, isSecret: of.isSecret }
}

/** A text that is not empty. */
export function readText(setting: Setting, expected: string): string {
  const { value } = setting
  return typeof value === 'string' && value !== '' ? value : refuse(setting, expected)
}

/** A duration in milliseconds, of `"30s"`, `"5m"`, `"12h"`, `"7d"` or a number of seconds. */
export function readDuration(setting: Setting): number {
  const { value } = setting
  if (typeof value === 'number' && value >= 0 && value <= 999_999_999) return value * UNITS.s
  const [, count, unit] = (typeof value === 'string' ? DURATION.exec(value) : null) ?? []
  if (count === undefined || unit === undefined) {
    return refuse(setting, 'a duration ("30s", "5m", "12h", "7d" or a number of seconds)')
  }
  return Number(count) * UNITS[unit as keyof typeof UNITS]
}

/** A pattern over repository names. */
export function readPattern(setting: Setting): Pattern {
  const expected =
    'a repository pattern (lower-case components, "*" within one, "**" for any number of them)'
  return parsePattern(readText(setting, expected)) ?? refuse(setting, expected)
}

/** Whether a setting says nothing: absent, or an empty text, list or object. */
export function isEmpty({ value }: Setting): boolean {
  if (value === undefined || value === null || value === '') return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

function describe({ value, isSecret }: Setting): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'an object'
  if (isSecret) return value === '' ? 'an empty text' : `a ${typeof value} (not shown)`
  return typeof value === 'string' ? quote(value) : JSON.stringify(value)
}

/** One line, short, and without the userinfo that a URL may hold. */
function quote(text: string): string {
  const quoted = JSON.stringify(text.replace(/^.*@/s, '…@'))
  return quoted.length > 80 ? `${quoted.slice(0, 79)}…"` : quoted
}
