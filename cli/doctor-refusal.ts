// What a registry means by refusing an image or a part of it, to whoever runs it.

import { HEADER } from '../src/oci/header.ts'
import { messageOf } from './doctor-answer.ts'
import type { Answered } from './doctor-answer.ts'
import { problem, unchecked } from './doctor-finding.ts'
import type { Check, Finding } from './doctor-finding.ts'

/** What was asked for, and in whose name. */
export interface Asked {
  readonly check: Check
  /** As people write it: `docker.io/library/alpine:latest`. */
  readonly what: string
  /** Undefined: in nobody's. */
  readonly name: string | undefined
}

/** The finding for an answer that is not the one asked for. */
export function diagnoseRefusal(answered: Answered, { check, what, name }: Asked): Finding {
  const { status, headers } = answered
  const message = messageOf(answered)
  const said = message === undefined ? `${status}` : `${status}: ${message}`
  const again = headers.get(HEADER.retryAfter)
  switch (status) {
    case 401:
      if (name === undefined) {
        return unchecked(check, `${what} needs a login: set ENTREPOT_SECRET=<name>:<secret>`)
      }
      return problem(check, {
        says: `${name} may not pull ${what} (401)`,
        advice: `Ask as an account that may (ENTREPOT_SECRET), or make one: npm run account -- add ci --grant '<repository>=pull'. To administrate is no right to pull.`,
      })
    case 403:
      return problem(check, {
        says: `the upstream refuses ${what} (${said})`,
        advice:
          'It is private there, or not there at all: set a login for its host in UPSTREAM_CREDENTIALS, or name another image (--image).',
      })
    case 404:
      return problem(check, {
        says: `${what} is not there (${said})`,
        advice:
          'Its host is not in UPSTREAMS, its name or tag is wrong, or it was deleted: name another image (--image).',
      })
    case 429:
      return problem(check, {
        says: `${what} cannot be fetched now (${said}), again in ${again ?? '?'} s`,
        advice:
          'Without a login the limit of Docker Hub is shared with everybody on the same addresses: set one in UPSTREAM_CREDENTIALS. The limit of this registry itself is FILL_LIMIT in wrangler.toml.',
      })
    case 502:
      return problem(check, {
        says: `the upstream of ${what} fails (${said})`,
        advice:
          'What is cached is served on. It is down, its name or certificate is wrong (url in UPSTREAMS), or its answer cannot be used; GET /_/upstreams has the last error.',
      })
    case 504:
      return problem(check, {
        says: `the upstream of ${what} does not answer in time (${said})`,
        advice:
          'What is cached is served on. Try again; alternates in UPSTREAMS stand in for a slow one.',
      })
    case 503:
      return problem(check, {
        says: `storage or an object of the registry is away (${said})`,
        advice: `Try again in ${again ?? '10'} s; if it lasts, look at npx wrangler tail and at the status of R2 and Durable Objects.`,
      })
    default:
      return problem(check, {
        says: `${what} is answered ${said}`,
        advice: 'Look for it in the log of the registry (npx wrangler tail), by its X-Request-Id.',
      })
  }
}
