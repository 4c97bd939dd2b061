// What administrators can switch while the registry runs, and what follows from it for an upstream. Kept by
// `Authority`, seen everywhere with its snapshots.

/** What is switched; everything is off where nobody has ever switched anything. */
export interface Switches {
  /** Nothing that is hosted is changed. */
  readonly readOnly: boolean
  /** No upstream is asked for anything: what is here is served, and no more. */
  readonly noFills: boolean
  /** Blobs are streamed to everybody. */
  readonly noRedirect: boolean
  /** A tag that is known here is not checked. */
  readonly alwaysStale: boolean
  /** Hosts of upstreams that are not asked for anything, in order. */
  readonly paused: readonly string[]
}

/** As it is until somebody switches something. */
export const NO_SWITCHES: Switches = {
  readOnly: false,
  noFills: false,
  noRedirect: false,
  alwaysStale: false,
  paused: [],
}

/**
 * What an upstream may be asked for: `all`, only what is not known here (`unknown`), or nothing. A fill that runs
 * goes on.
 */
export type Contact = 'all' | 'unknown' | 'none'

const FLAGS = ['readOnly', 'noFills', 'noRedirect', 'alwaysStale'] as const
const NAMES: readonly string[] = [...FLAGS, 'paused']

/** One switch that was turned: its name, or the host of an upstream. */
export interface SwitchTurn {
  readonly what: 'switch-on' | 'switch-off' | 'pause' | 'resume'
  readonly name: string
}

/** What is to be switched, or what is wrong with that; the empty field is the whole. */
export type ParsedSwitches =
  | { readonly ok: true; readonly change: Partial<Switches> }
  | {
      readonly ok: false
      readonly field: string
      readonly why: string
      readonly isMissing: boolean
    }

/** What the upstream of a host may be asked for. */
export function contactOf({ noFills, alwaysStale, paused }: Switches, host: string): Contact {
  if (noFills || paused.includes(host)) return 'none'
  return alwaysStale ? 'unknown' : 'all'
}

/** What was turned on the way from one state to another. */
export function turnsBetween(before: Switches, after: Switches): readonly SwitchTurn[] {
  const flags = FLAGS.filter((name) => before[name] !== after[name]).map((name) => ({
    what: after[name] ? ('switch-on' as const) : ('switch-off' as const),
    name,
  }))
  const paused = after.paused.filter((host) => !before.paused.includes(host))
  const resumed = before.paused.filter((host) => !after.paused.includes(host))
  return [
    ...flags,
    ...paused.map((name) => ({ what: 'pause' as const, name })),
    ...resumed.map((name) => ({ what: 'resume' as const, name })),
  ]
}

/**
 * Reads the members of a JSON object: all switches where it is the whole state, else those that are to change.
 * `hosts` has every spelling of every upstream's host.
 */
export function parseSwitches(
  members: Readonly<Record<string, unknown>>,
  hosts: ReadonlyMap<string, { readonly host: string }>,
  { isWhole }: { readonly isWhole: boolean },
): ParsedSwitches {
  const unknown = Object.keys(members).find((key) => !NAMES.includes(key))
  if (unknown !== undefined) {
    return wrong(unknown.slice(0, 64), `there is no such switch; there are ${NAMES.join(', ')}`)
  }
  const missing = isWhole ? NAMES.find((name) => !Object.hasOwn(members, name)) : undefined
  if (missing !== undefined) return wrong(missing, 'PUT sets all switches', true)
  if (Object.keys(members).length === 0) return wrong('', `expected some of ${NAMES.join(', ')}`)
  const bent = FLAGS.find((name) => !['boolean', 'undefined'].includes(typeof members[name]))
  if (bent !== undefined) return wrong(bent, 'expected true or false')
  const { paused, ...flags } = members
  if (paused === undefined) return { ok: true, change: flags }
  const read = readHosts(paused, hosts)
  return 'ok' in read ? read : { ok: true, change: { ...flags, paused: read } }
}

/** The hosts of a list, as the configuration spells them, each once and in order. */
function readHosts(
  value: unknown,
  hosts: ReadonlyMap<string, { readonly host: string }>,
): readonly string[] | (ParsedSwitches & { readonly ok: false }) {
  if (!Array.isArray(value)) return wrong('paused', 'expected a list of hosts of UPSTREAMS')
  const found = new Set<string>()
  for (const [index, entry] of value.entries()) {
    const host = typeof entry === 'string' ? hosts.get(entry.toLowerCase())?.host : undefined
    if (host === undefined) {
      const configured = [...new Set([...hosts.values()].map((each) => each.host))].toSorted()
      return wrong(`paused[${index}]`, `expected a host of UPSTREAMS (${configured.join(', ')})`)
    }
    found.add(host)
  }
  return [...found].toSorted()
}

function wrong(
  field: string,
  why: string,
  isMissing = false,
): ParsedSwitches & { readonly ok: false } {
  return { ok: false, field, why, isMissing }
}
