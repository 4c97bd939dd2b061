// `HOSTED`: which names are repositories that can be pushed to, and in which of them a manifest may name
// content that was never pushed.

import type { Pattern } from '../oci/pattern.ts'
import { isEmpty, readList, readMember, readObject, readPattern, refuse } from './setting.ts'
import type { Setting } from './setting.ts'

/** An entry of `HOSTED`. */
export interface HostedEntry {
  readonly pattern: Pattern
  /** Whether a manifest may name what is not there. */
  readonly isSparse: boolean
}

/** Reads `HOSTED`; `spellings` are the names of all upstreams, whose mirrors no pattern may be meant to reach. */
export function readHosted(
  setting: Setting,
  spellings: ReadonlyMap<string, unknown>,
): readonly HostedEntry[] {
  if (isEmpty(setting)) return []
  const expected = 'a list of repository patterns, or of { pattern, sparse }'
  return readList(setting, expected).map((entry) => {
    const { at, isSparse } = readEntry(entry)
    const pattern = readPattern(at)
    const [first = ''] = pattern.text.split('/')
    if (spellings.has(first)) {
      return refuse(at, `a pattern outside the upstreams (names below ${first}/ are its mirror)`)
    }
    return { pattern, isSparse }
  })
}

/** Where the pattern stands, and what is said beside it. */
function readEntry(setting: Setting): { readonly at: Setting; readonly isSparse: boolean } {
  if (typeof setting.value === 'string') return { at: setting, isSparse: false }
  const members = readObject(setting, 'a repository pattern, or { pattern, sparse }', [
    'pattern',
    'sparse',
  ])
  const sparse = members.get('sparse')
  if (sparse !== undefined && typeof sparse.value !== 'boolean') refuse(sparse, 'true or false')
  return { at: readMember(members, 'pattern', setting), isSparse: sparse?.value === true }
}
