// Accounts, pins and switches of an export, read as the API reads them: what it would refuse is left out and reported,
// one by one, before anything comes back.

import { accountSubject, isTime } from '../auth/keeping.ts'
import type { AuthorityDump, AuthorityRestored, LeftOut } from '../auth/keeping.ts'
import type { Pin } from '../auth/pins.ts'
import { NO_SWITCHES, parseSwitches } from '../auth/switches.ts'
import type { Switches } from '../auth/switches.ts'
import type { Config } from '../config.ts'
import { formatImageName, parseImageName, parsePlatforms } from './image-name.ts'

/** Characters of what is no image that a report repeats. */
const MAX_SHOWN = 200
/** Characters of who has pinned an image: the name of an account, or of whoever an ID token is for. */
const MAX_BY = 300

/** Something that was read, or why it is left out. */
type Read<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly why: string }

/**
 * Brings back what can be believed of a dump, and tells what was left out of it. Accounts are read by `restore`, those
 * of the configuration stay out: they would be there unseen, and last when they are taken out of it.
 */
export async function restoreAuthority(
  { accounts, pins, switches }: AuthorityDump,
  config: Config,
  restore: (dump: AuthorityDump) => Promise<AuthorityRestored>,
): Promise<AuthorityRestored> {
  const configured = new Set<unknown>(config.accounts.map(({ name }) => name))
  const others = accounts.filter(({ name }) => !configured.has(name))
  const kept = accounts
    .filter(({ name }) => configured.has(name))
    .map((account) => ({ subject: accountSubject(account), why: 'it stands in ACCOUNTS' }))
  const failed: LeftOut[] = []
  const goodPins: Pin[] = []
  for (const each of pins) {
    const pin = readPin(each, config)
    if (pin.ok) goodPins.push(pin.value)
    else
      failed.push({
        subject: `pin ${JSON.stringify(each.image)?.slice(0, MAX_SHOWN)}`,
        why: pin.why,
      })
  }
  const read = switches === undefined ? undefined : readSwitches(switches, config)
  if (read?.ok === false) failed.push({ subject: 'switches', why: read.why })
  const restored = await restore({
    accounts: others,
    pins: goodPins,
    switches: read?.ok === true ? read.value : undefined,
  })
  return {
    ...restored,
    kept: [...kept, ...restored.kept],
    failed: [...failed, ...restored.failed],
  }
}

/** A pin as the API would have made it: of an upstream that is configured, with a tag or a digest. */
function readPin({ image, by, at, platforms }: Pin, config: Config): Read<Pin> {
  const parsed = parseImageName(image, config)
  if (!parsed.ok) return refuse(parsed.why)
  if (parsed.reference === undefined) return refuse('expected a tag or a digest after the name')
  const read = parsePlatforms(platforms)
  if (typeof read === 'string') return refuse(read)
  if (typeof by !== 'string' || by.length > MAX_BY)
    return refuse('it does not say who has pinned it')
  if (!isTime(at)) return refuse('it has no time at which it was pinned')
  return { ok: true, value: { image: formatImageName(parsed), by, at, platforms: read } }
}

/** All switches; hosts that are configured no more are not paused. */
function readSwitches(value: Switches, { table }: Config): Read<Switches> {
  const members: Readonly<Record<string, unknown>> = { ...value }
  const { paused } = members
  const isKnown = (host: unknown): boolean =>
    typeof host !== 'string' || table.upstreams.has(host.toLowerCase())
  const known = Array.isArray(paused) ? { paused: paused.filter(isKnown) } : {}
  const parsed = parseSwitches({ ...members, ...known }, table.upstreams, { isWhole: false })
  if (parsed.ok) return { ok: true, value: { ...NO_SWITCHES, ...parsed.change } }
  return refuse(`${parsed.field}: ${parsed.why}`)
}

function refuse(why: string): { readonly ok: false; readonly why: string } {
  return { ok: false, why }
}
