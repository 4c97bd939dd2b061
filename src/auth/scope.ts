// What a client asks a token for. Names are kept as they were written: which repository one means is
// for the address table to say, and what is granted for policy.ts.

/** A resource and what the client wants to do to it. */
export interface Scope {
  readonly type: 'repository' | 'registry'
  /** As written; of letters, digits and `._:/%-` only. */
  readonly name: string
  /** Known ones, each once: `pull`, `push`, `delete`, `*`. */
  readonly actions: readonly string[]
}

/** Resources that one token is for; a token goes into a header, whose size is bounded. */
const MAX_RESOURCES = 100
const ACTIONS: readonly string[] = ['pull', 'push', 'delete', '*']
/** A canonical name with host, and a capability before it. */
const MAX_NAME = 512

/*
 * distribution, "Token Scope Documentation":
 *   resourcescope ::= type ":" name ":" action *( "," action )
 *   type          ::= 1*[a-z0-9] [ "(" 1*[a-z0-9] ")" ]
 * The class in parentheses is deprecated and says nothing. A name may contain `:` (a host with a port), which
 * leaves the first and the last colon to split at. Names are checked no further than that nothing in one can
 * be mistaken for a delimiter.
 */
const TYPE = /^(repository|registry)(?:\([a-z0-9]+\))?$/
const NAME = /^[A-Za-z0-9._:/%-]+$/

/**
 * Parses every `scope` of a request, each of which may hold several separated by spaces. What is no scope is
 * left out; actions on one resource are united; resources after the hundredth are left out.
 */
export function parseScopes(values: readonly string[]): readonly Scope[] {
  const resources = new Map<string, Scope>()
  for (const text of values.flatMap((value) => value.split(' '))) {
    const scope = parseScope(text)
    if (scope === undefined) continue
    const { type, name, actions } = scope
    const key = `${type}:${name}`
    const known = resources.get(key)
    if (known === undefined && resources.size === MAX_RESOURCES) continue
    const united = new Set([...(known?.actions ?? []), ...actions])
    resources.set(key, { type, name, actions: [...united] })
  }
  return [...resources.values()]
}

function parseScope(text: string): Scope | undefined {
  const first = text.indexOf(':')
  const last = text.lastIndexOf(':')
  if (first === last) return undefined
  const type = parseType(text.slice(0, first))
  const name = text.slice(first + 1, last)
  if (type === undefined || name.length > MAX_NAME || !NAME.test(name)) return undefined
  const asked = text.slice(last + 1).split(',')
  const actions = ACTIONS.filter((action) => asked.includes(action))
  return actions.length === 0 ? undefined : { type, name, actions }
}

function parseType(text: string): Scope['type'] | undefined {
  const type = TYPE.exec(text)?.[1]
  return type === 'repository' || type === 'registry' ? type : undefined
}
