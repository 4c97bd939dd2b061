// Patterns over repository names and tags, as the configuration and grants write them: a glob whose
// matching is bounded by the product of both lengths. What a match means is for the owner of the
// pattern to say.

/** A parsed pattern; `text` is how it was written. */
export interface Pattern {
  readonly text: string
  readonly matches: (name: string) => boolean
}

/*
 * pattern   ::= component *( "/" component )
 * component ::= "**" | 1*( [a-z0-9._:-] | "*" )      with no "**" beside other characters
 * `:` is there for canonical names of upstreams with a port.
 */
const PATTERN = /^[a-z0-9._:/*-]+$/

/* tag pattern ::= 1*( [a-zA-Z0-9._-] | "*" )      with no "**" */
const TAG_PATTERN = /^[a-zA-Z0-9._*-]+$/

/**
 * Parses a pattern over repository names. `*` stands for any characters of one component, `**` for
 * any number of components: none is enough at the start or in the middle (`a/**\/b` matches `a/b`),
 * one is needed at the end (`a/**` does not match `a`, which has no component below `a`).
 */
export function parsePattern(text: string): Pattern | undefined {
  if (!PATTERN.test(text)) {
    return undefined
  }
  const components = text.split('/')
  if (!components.every(isComponentPattern)) {
    return undefined
  }
  if (components.at(-1) === '**') {
    components.splice(-1, 0, '*')
  }
  if (!text.includes('*')) {
    return { text, matches: (name) => name === text }
  }
  return {
    text,
    matches: (name) => matchesGlob(components, '**', name.split('/'), matchesComponent),
  }
}

/** Parses a pattern over tags: `*` stands for any characters. */
export function parseTagPattern(text: string): Pattern | undefined {
  if (!TAG_PATTERN.test(text) || text.includes('**')) {
    return undefined
  }
  return { text, matches: (tag) => matchesComponent(text, tag) }
}

/** Parses a pattern over any text: `*` stands for any characters, and case does not count. */
export function parseTextPattern(text: string): Pattern {
  const pattern = text.toLowerCase()
  return { text, matches: (other) => matchesComponent(pattern, other.toLowerCase()) }
}

function isComponentPattern(text: string): boolean {
  return text === '**' || (text !== '' && !text.includes('**'))
}

function matchesComponent(pattern: string, component: string): boolean {
  return matchesGlob(pattern, '*', component, (expected, character) => expected === character)
}

/**
 * Matches a sequence against a pattern in which `wildcard` stands for any run of items. After a
 * mismatch only the latest wildcard is extended: an earlier one could not match more. So no pair of
 * positions is compared twice.
 */
function matchesGlob(
  pattern: ArrayLike<string>,
  wildcard: string,
  items: ArrayLike<string>,
  matchesItem: (expected: string, item: string) => boolean,
): boolean {
  let position = 0
  let latestWildcard = -1
  let runEnd = 0
  let index = 0
  for (let item = items[0]; item !== undefined; item = items[index]) {
    const expected = pattern[position]
    if (expected === wildcard) {
      latestWildcard = position++
      runEnd = index
    } else if (expected !== undefined && matchesItem(expected, item)) {
      position++
      index++
    } else if (latestWildcard >= 0) {
      position = latestWildcard + 1
      index = ++runEnd
    } else {
      return false
    }
  }
  while (pattern[position] === wildcard) {
    position++
  }
  return position === pattern.length
}
