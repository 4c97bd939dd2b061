// `HOSTED`: which names are repositories that can be pushed to, and in which of them a manifest may name
// content that was never pushed.

import { parseTagPattern } from '../oci/pattern.ts'
import type { Pattern } from '../oci/pattern.ts'
import {
  isEmpty,
  readList,
  readMember,
  readObject,
  readPattern,
  readText,
  refuse,
} from './setting.ts'
import type { Setting } from './setting.ts'

/** An entry of `HOSTED`. */
export interface HostedEntry {
  readonly pattern: Pattern
  /** Whether a manifest may name what is not there. */
  readonly isSparse: boolean
  /** Patterns of tags that nobody moves or removes once they exist. */
  readonly immutable: readonly string[]
}

/** Reads `HOSTED`; `spellings` are the names of all upstreams, whose mirrors no pattern may be meant to reach. */
export function readHosted(
  setting: Setting,
  spellings: ReadonlyMap<string, unknown>,
): readonly HostedEntry[] {
  if (isEmpty(setting)) return []
  const expected = 'a list of repository patterns, or of { pattern, sparse, immutable }'
  return readList(setting, expected).map((entry) => {
    const { at, ...rules } = readEntry(entry)
    const pattern = readPattern(at)
    const [first = ''] = pattern.text.split('/')
    if (spellings.has(first)) {
      return refuse(at, `a pattern outside the upstreams (names below ${first}/ are its mirror)`)
    }
    return { pattern, ...rules }
  })
}

/** Where the pattern stands, and what is said beside it. */
function readEntry(setting: Setting): Omit<HostedEntry, 'pattern'> & { readonly at: Setting } {
  if (typeof setting.value === 'string') return { at: setting, isSparse: false, immutable: [] }
  const members = readObject(setting, 'a repository pattern, or { pattern, sparse, immutable }', [
    'pattern',
    'sparse',
    'immutable',
  ])
  const sparse = members.get('sparse')
  if (sparse !== undefined && typeof sparse.value !== 'boolean') refuse(sparse, 'true or false')
  const immutable = members.get('immutable')
  return {
    at: readMember(members, 'pattern', setting),
    isSparse: sparse?.value === true,
    immutable: immutable === undefined ? [] : readTagPatterns(immutable),
  }
}

function readTagPatterns(setting: Setting): readonly string[] {
  const expected = 'a list of tag patterns, e.g. ["v*"]'
  return readList(setting, expected).map((each) => {
    const text = readText(each, 'a tag pattern')
    return parseTagPattern(text) === undefined ? refuse(each, 'a tag pattern') : text
  })
}
