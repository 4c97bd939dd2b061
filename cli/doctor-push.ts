// Whether a repository can be pushed to: an upload is started and cancelled, and nothing is left of it.

import { HEADER } from '../src/oci/header.ts'
import { checkAnswer, messageOf, targetOf } from './doctor-answer.ts'
import type { Answer, Answered } from './doctor-answer.ts'
import { fine, problem, unchecked, warning } from './doctor-finding.ts'
import type { Finding, Trouble } from './doctor-finding.ts'

const CHECK = 'push'

/** Nobody tried, and why. */
export function uncheckedPush(why: string): Finding {
  return unchecked(CHECK, why)
}

/** What came of starting an upload; `upload` is where it goes on, if it does. */
export interface PushDiagnosis {
  readonly finding: Finding
  readonly upload: URL | undefined
}

/** Diagnoses POST of an upload. */
export function diagnoseUpload(
  answer: Answer,
  { repository, name }: { readonly repository: string; readonly name: string },
): PushDiagnosis {
  const { answered, trouble } = checkAnswer(answer)
  if (answered === undefined) return lost(trouble)
  if (answered.status !== 202) return lost(troubleOf(answered, repository, name))
  const upload = answered.headers.has(HEADER.location) ? targetOf(answered) : undefined
  if (upload === undefined) {
    return lost({
      says: 'an upload starts without a Location',
      advice: 'A proxy in between removes it: let answers of /v2 pass unchanged.',
    })
  }
  if (upload.origin !== answered.url.origin) {
    return lost({
      says: `an upload goes on at ${upload.origin}`,
      advice:
        'Something in between rewrites Location, and clients would send images there: let answers of /v2 pass unchanged.',
    })
  }
  return { finding: fine(CHECK, `${repository} takes uploads of ${name}`), upload }
}

/** Diagnoses the DELETE after it. */
export function diagnoseCancel(answer: Answer, started: Finding): Finding {
  if (answer.kind === 'answered' && answer.status === 204) return started
  const how = answer.kind === 'answered' ? `${answer.status}` : answer.code
  return warning(CHECK, {
    says: `${started.says}, but cannot be cancelled (${how})`,
    advice: 'The empty upload ends by itself. A rule or proxy may stop DELETE: let it through.',
  })
}

function lost(trouble: Trouble): PushDiagnosis {
  return { finding: problem(CHECK, trouble), upload: undefined }
}

function troubleOf(answered: Answered, repository: string, name: string): Trouble {
  const { status } = answered
  const message = messageOf(answered) ?? 'no message'
  switch (status) {
    case 401:
    case 403:
      return {
        says: `${name} may not push to ${repository} (${status})`,
        advice: `Ask as an account that may (ENTREPOT_SECRET), or make one: npm run account -- add ci --grant '${repository}=pull,push'.`,
      }
    case 404:
    case 405:
      return {
        says: `${repository} takes no pushes (${status}: ${message})`,
        advice:
          'Only what a pattern of HOSTED names can be pushed to; everything else is a mirror.',
      }
    case 503:
      return {
        says: `uploads cannot be kept (503: ${message})`,
        advice:
          'Storage or an object is away. Try again; if it lasts, look at npx wrangler tail and at the status of R2 and Durable Objects.',
      }
    default:
      return {
        says: `an upload to ${repository} is answered ${status} (${message})`,
        advice: 'Look for it in the log of the registry (npx wrangler tail), by its X-Request-Id.',
      }
  }
}
