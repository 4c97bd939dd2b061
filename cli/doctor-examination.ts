// The examination: what is asked of a registry, in which order and in whose name. It decides nothing about the
// answers but what to ask next.

import { isLoopbackHost } from '../src/oci/host.ts'
import { formatScope } from '../src/oci/bearer.ts'
import type { RepositoryName } from '../src/oci/repository-name.ts'
import type { Answer } from './doctor-answer.ts'
import { examineContent } from './doctor-content.ts'
import { unchecked } from './doctor-finding.ts'
import type { Check, Finding } from './doctor-finding.ts'
import { formatImage, pickRepository, pickTag, sampleOf } from './doctor-image.ts'
import type { Image } from './doctor-image.ts'
import {
  diagnoseAccountToken,
  diagnoseAnonymousToken,
  diagnoseChallenge,
  uncheckedAccount,
} from './doctor-login.ts'
import type { Credentials, TokenService } from './doctor-login.ts'
import type { Prober } from './doctor-probe.ts'
import { diagnoseCancel, diagnoseUpload, uncheckedPush } from './doctor-push.ts'
import { diagnoseRegistry } from './doctor-registry.ts'
import { diagnoseUpstreams, uncheckedUpstreams, upstreamHosts } from './doctor-upstreams.ts'

/** What is to be examined. */
export interface Patient {
  readonly url: URL
  /** Undefined: one is looked for. */
  readonly image: Image | undefined
  /** The repository to start and cancel an upload in. */
  readonly push: RepositoryName | undefined
  /** In whose name, or why in nobody's. */
  readonly credentials: Credentials | string
  readonly prober: Prober
}

/** A registry, and who asks it. */
interface Session {
  readonly patient: Patient
  /** Of an account whose secret was taken. */
  readonly login: Credentials | undefined
  readonly service: TokenService | undefined
}

const CONTENT: readonly Check[] = [
  'manifest GET',
  'manifest HEAD',
  'blob HEAD',
  'blob GET',
  'blob range',
  'redirect',
]
const AFTER_REGISTRY: readonly Check[] = [
  'challenge',
  'anonymous token',
  'account token',
  'upstreams',
  ...CONTENT,
  'push',
]

/** Examines a registry: one finding for each check, more for upstreams that are not well. */
export async function examine(patient: Patient): Promise<readonly Finding[]> {
  const { prober, url } = patient
  const base = await prober.ask(new URL('/v2/', url))
  const health = base.kind === 'answered' ? await prober.ask(new URL('/healthz', url)) : base
  const { findings, isRegistry } = diagnoseRegistry(base, health)
  if (!isRegistry) {
    const rest: readonly Check[] = base.kind === 'answered' ? [] : ['registry']
    const others = [...rest, ...AFTER_REGISTRY].map((check) =>
      unchecked(check, 'no registry answers'),
    )
    return [...findings, ...others]
  }
  const status = await prober.ask(new URL('/_/upstreams', url))
  const logins = await examineLogin(patient, base, status)
  const upstreams = await examineUpstreams(logins.session)
  const content = await examineImage(logins.session, upstreams.hosts)
  const push = await examinePush(logins.session)
  return [...findings, ...logins.findings, ...upstreams.findings, ...content, push]
}

async function examineLogin(
  patient: Patient,
  base: Answer,
  status: Answer,
): Promise<{ readonly findings: readonly Finding[]; readonly session: Session }> {
  const isAsked = base.kind === 'answered' && base.status === 401
  // A registry without accounts asks nobody to log in, but for what is for administrators.
  const { finding, service } = diagnoseChallenge(isAsked ? base : status)
  if (service === undefined) {
    const why = 'no token service is known'
    const others = (['anonymous token', 'account token'] as const).map((each) =>
      unchecked(each, why),
    )
    return { findings: [finding, ...others], session: { patient, login: undefined, service } }
  }
  const anonymous = diagnoseAnonymousToken(await askToken(patient, service, {}))
  const account = await examineAccount(patient, service)
  return {
    findings: [finding, anonymous.finding, account.finding],
    session: { patient, login: account.login, service },
  }
}

/** Asks for a token of the account, where its secret may be sent. */
export async function examineAccount(
  patient: Patient,
  service: TokenService,
): Promise<{ readonly finding: Finding; readonly login: Credentials | undefined }> {
  const { credentials, url } = patient
  if (typeof credentials === 'string') return nobody(credentials)
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
    return nobody('no secret is sent over http')
  }
  if (service.realm.origin !== url.origin) {
    return nobody(`the secret is for ${url.origin}, and goes nowhere else`)
  }
  // Without a scope: for what is everybody's, no secret is looked at.
  const answer = await askToken(patient, service, { login: credentials })
  const { finding, token } = diagnoseAccountToken(answer, credentials)
  return { finding, login: token === undefined ? undefined : credentials }
}

function nobody(why: string): { readonly finding: Finding; readonly login: undefined } {
  return { finding: uncheckedAccount(why), login: undefined }
}

async function examineUpstreams({ patient, login }: Session): Promise<{
  readonly findings: readonly Finding[]
  readonly hosts: readonly string[]
}> {
  if (login === undefined) {
    return { findings: [uncheckedUpstreams('for administrators only')], hosts: [] }
  }
  const { prober, url } = patient
  const answer = await prober.ask(new URL('/_/upstreams', url), { headers: basic(login) })
  const findings = diagnoseUpstreams(answer, login.name, Date.now())
  return { findings, hosts: upstreamHosts(answer) }
}

async function examineImage(
  session: Session,
  hosts: readonly string[],
): Promise<readonly Finding[]> {
  const { patient, login } = session
  const image = patient.image ?? (await findImage(session)) ?? sampleOf(hosts)
  if (image === undefined) {
    return CONTENT.map((check) => unchecked(check, 'no image is known: name one with --image'))
  }
  const authorization = await bearer(session, image.repository, ['pull'])
  return examineContent({
    url: patient.url,
    prober: patient.prober,
    image,
    what: formatImage(image),
    name: login?.name,
    authorization,
  })
}

async function findImage({ patient, login }: Session): Promise<Image | undefined> {
  const { prober, url } = patient
  const question = login === undefined ? {} : { headers: basic(login) }
  const repository = pickRepository(await prober.ask(new URL('/v2/_catalog?n=50', url), question))
  if (repository === undefined) return undefined
  const tags = await prober.ask(new URL(`/v2/${repository}/tags/list?n=50`, url), question)
  const reference = pickTag(tags)
  return reference && { repository, reference }
}

async function examinePush(session: Session): Promise<Finding> {
  const { patient, login } = session
  const { prober, push: repository, url } = patient
  if (repository === undefined)
    return uncheckedPush('--push <repository> starts an upload and cancels it')
  if (login === undefined) return uncheckedPush('needs a login')
  const headers = await bearer(session, repository, ['pull', 'push'])
  const start = new URL(`/v2/${repository}/blobs/uploads/`, url)
  const answer = await prober.ask(start, { method: 'POST', headers })
  const { finding, upload } = diagnoseUpload(answer, { repository, name: login.name })
  if (upload === undefined) return finding
  return diagnoseCancel(await prober.ask(upload, { method: 'DELETE', headers }), finding)
}

/** As clients do it: a token for the repository; none where none is to be had. */
async function bearer(
  { patient, login, service }: Session,
  repository: RepositoryName,
  actions: readonly string[],
): Promise<Readonly<Record<string, string>>> {
  if (service === undefined) return {}
  const scope = formatScope(repository, actions)
  const answer = await askToken(patient, service, { scope, ...(login !== undefined && { login }) })
  const { token } = diagnoseAnonymousToken(answer)
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

function askToken(
  { prober }: Patient,
  { realm, service }: TokenService,
  { login, scope }: { readonly login?: Credentials; readonly scope?: string },
): Promise<Answer> {
  const url = new URL(realm)
  if (service !== '') url.searchParams.set('service', service)
  if (scope !== undefined) url.searchParams.set('scope', scope)
  return prober.ask(url, login === undefined ? {} : { headers: basic(login) })
}

function basic({ name, secret }: Credentials): Readonly<Record<string, string>> {
  return { authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}` }
}
