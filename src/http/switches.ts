// `/_/api/switches`: an administrator sees what is switched, and switches it. Everybody sees it within a minute.

import { parseSwitches } from '../auth/switches.ts'
import { administratorOf, ask, change, readMembers, show, wrong } from './admin.ts'
import type { Visit } from './authenticate.ts'
import { refuseMethod } from './dispatch.ts'

const METHODS = ['GET', 'HEAD', 'PUT', 'PATCH']
const FORM = '{ readOnly, noFills, noRedirect, alwaysStale, paused }'

/**
 * Answers GET with all switches, PUT, which sets all of them, and PATCH, which sets those that it names.
 * @throws {RegistryError} UNAUTHORIZED to whoever has not shown the secret of an account with a grant of `admin`.
 */
export async function answerSwitches(visit: Visit): Promise<Response> {
  const { exchange, services } = visit
  exchange.endpoint = 'switches'
  refuseMethod(exchange.method, METHODS)
  const by = await administratorOf(visit)
  if (exchange.method === 'GET' || exchange.method === 'HEAD') {
    const { switches } = await ask(visit, (authority) => authority.snapshot())
    return show(visit, 200, switches)
  }
  const parsed = parseSwitches(await readMembers(visit, FORM), services.config.table.upstreams, {
    isWhole: exchange.method === 'PUT',
  })
  if (!parsed.ok) throw wrong(parsed.field, parsed.why, parsed.isMissing)
  const switches = await change(visit, (authority) => authority.setSwitches(parsed.change, by))
  services.access.learn(switches)
  return show(visit, 200, switches)
}
