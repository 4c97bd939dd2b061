// Whether anything answers, and whether that is an entrepot with a configuration that it can run with.

import { HEADER } from '../src/oci/header.ts'
import { isLoopbackHost, isPrivateHost } from '../src/oci/host.ts'
import { checkAnswer, messageOf, objectOf, textOf } from './doctor-answer.ts'
import type { Answer, Answered } from './doctor-answer.ts'
import { fine, problem, warning } from './doctor-finding.ts'
import type { Finding } from './doctor-finding.ts'

/** What was seen of the registry, and whether there is one to look at further. */
export interface RegistryDiagnosis {
  readonly findings: readonly Finding[]
  readonly isRegistry: boolean
}

/** Diagnoses the answers to `GET /v2/` and `GET /healthz`; `health` is not looked at where no registry answers. */
export function diagnoseRegistry(base: Answer, health: Answer): RegistryDiagnosis {
  if (base.kind === 'unanswered') {
    const { trouble } = checkAnswer(base)
    return { findings: trouble ? [problem('reachable', trouble)] : [], isRegistry: false }
  }
  const { findings, isRegistry } = diagnoseBase(base, health)
  return { findings: [diagnoseReach(base), ...findings], isRegistry }
}

function diagnoseReach({ url, milliseconds }: Answered): Finding {
  const says = `${url.origin} answers in ${milliseconds.toFixed(0)} ms`
  if (url.protocol === 'https:' || isLoopbackHost(url.hostname)) return fine('reachable', says)
  const unsafe = { says: `${says}, over http`, advice: HTTP }
  return isPrivateHost(url.hostname) ? warning('reachable', unsafe) : problem('reachable', unsafe)
}

const HTTP =
  'Secrets and images go over the network for anybody to read and change, and most clients refuse it. Use https; in a private network put TLS in front.'

function diagnoseBase(base: Answered, health: Answer): RegistryDiagnosis {
  const { trouble } = checkAnswer(base)
  if (trouble !== undefined) return failed(trouble)
  const { status, headers } = base
  const message = messageOf(base)
  if (status === 503 && message?.includes('configured') === true) {
    return failed({
      says: 'its configuration is wrong (503)',
      advice:
        'It answers nothing until that is mended. Which setting it is stands in the log, as configuration-wrong: npx wrangler tail, and correct wrangler.toml or the secret.',
    })
  }
  if (!headers.has(HEADER.dockerDistributionAPIVersion)) return failed(notARegistry(base))
  if (status !== 200 && status !== 401) {
    return failed({
      says: `/v2/ is answered ${status}${message === undefined ? '' : `: ${message}`}`,
      advice: 'A registry answers 200 or 401 there: look at its log (npx wrangler tail).',
    })
  }
  return { findings: diagnoseKind(base, health), isRegistry: true }
}

function notARegistry(base: Answered) {
  const isJSON = objectOf(base) !== undefined
  return {
    says: `no registry: /v2/ is answered ${base.status} ${isJSON ? 'by other JSON' : 'without Docker-Distribution-API-Version'}`,
    advice:
      'Another server has this address. The address of a registry has no path: https://registry.example.com.',
  }
}

function failed(trouble: { readonly says: string; readonly advice: string }): RegistryDiagnosis {
  return { findings: [problem('registry', trouble)], isRegistry: false }
}

function diagnoseKind({ headers }: Answered, health: Answer): readonly Finding[] {
  if (['HIT', 'STALE', 'UPDATING', 'REVALIDATED'].includes(headers.get('cf-cache-status') ?? '')) {
    return [
      problem('registry', {
        says: 'a cache in front of it answers /v2/',
        advice:
          'It keeps answers that are for one caller or one minute: another CDN, a rule that caches everything, or [cache] in wrangler.toml. Take the registry out of it.',
      }),
    ]
  }
  if (!/^entrepot\b/.test(headers.get(HEADER.cacheStatus) ?? '')) {
    return [
      warning('registry', {
        says: 'a registry, but no entrepot',
        advice:
          'Cache-Status is not that of entrepot: another program, or a proxy that removes headers. What follows is looked at all the same.',
      }),
    ]
  }
  if (!headers.has(HEADER.requestID)) {
    return [
      warning('registry', {
        says: 'an entrepot, without X-Request-Id',
        advice: 'A proxy removes it, so a failure cannot be found in the log by its number.',
      }),
    ]
  }
  const { answered } = checkAnswer(health)
  if (answered?.status === 200 && textOf(answered).trim() === 'ok') {
    return [fine('registry', 'an entrepot')]
  }
  return [
    warning('registry', {
      says: 'an entrepot, but /healthz does not say ok',
      advice:
        'Only a part of the paths leads to it: give it the whole host (a custom domain, or a route that ends in /*).',
    }),
  ]
}
