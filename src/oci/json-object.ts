// Reads JSON that a stranger wrote. `JSON.parse` silently takes the last of two equal keys, where
// other parsers take the first; so repeated keys are found here, and what they mean is left to the
// caller.

/** A JSON object, and a top-level key that it has twice, if it does. */
export interface JSONObject {
  readonly members: Readonly<Record<string, unknown>>
  readonly repeatedKey: string | undefined
}

/** Whether a value is a JSON object: neither an array nor null. */
export function isJSONObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Parses the bytes of a JSON object: UTF-8 without a byte order mark (RFC 8259 §8.1), no other kind
 * of value.
 */
export function parseJSONObject(bytes: Uint8Array): JSONObject | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const members: unknown = JSON.parse(text)
    return isJSONObject(members) ? { members, repeatedKey: findRepeatedKey(text) } : undefined
  } catch {
    return undefined
  }
}

/**
 * The first top-level key that stands twice in the text of a valid object; `"a"` and `"\u0061"` are
 * one key.
 */
function findRepeatedKey(text: string): string | undefined {
  const keys = new Set<string>()
  let depth = 0
  for (let index = 0; index < text.length; index++) {
    const character = text[index]
    if (character === '"') {
      const end = endOfString(text, index)
      if (depth === 1 && isFollowedByColon(text, end)) {
        const key = String(JSON.parse(text.slice(index, end)))
        if (keys.has(key)) {
          return key
        }
        keys.add(key)
      }
      index = end - 1
    } else if (character === '{' || character === '[') {
      depth++
    } else if (character === '}' || character === ']') {
      depth--
    }
  }
  return undefined
}

/**
 * The index after the closing quote: the first one with an even number of backslashes before it.
 */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0
    while (text[quote - 1 - backslashes] === '\\') {
      backslashes++
    }
    if (backslashes % 2 === 0) {
      return quote + 1
    }
  }
}

const COLON = /[ \t\n\r]*:/y

function isFollowedByColon(text: string, position: number): boolean {
  COLON.lastIndex = position
  return COLON.test(text)
}
