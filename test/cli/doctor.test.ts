// What the doctor says of a registry that has one thing wrong with it: a row for each sentence, each against a
// server on loopback that is well otherwise.

import { describe, expect, it } from 'vitest'

import type { Answered, Reason, Unanswered } from '../../cli/doctor-answer.ts'
import { examine, examineAccount } from '../../cli/doctor-examination.ts'
import { fine, problem } from '../../cli/doctor-finding.ts'
import type { Finding } from '../../cli/doctor-finding.ts'
import { formatImage, parseImage, sampleOf } from '../../cli/doctor-image.ts'
import { diagnoseChallenge } from '../../cli/doctor-login.ts'
import type { Credentials } from '../../cli/doctor-login.ts'
import { Prober, reasonOf } from '../../cli/doctor-probe.ts'
import { diagnoseRedirect } from '../../cli/doctor-redirect.ts'
import { diagnoseRegistry } from '../../cli/doctor-registry.ts'
import { formatFindings, withoutSecrets } from '../../cli/doctor-report.ts'
import type { RepositoryName } from '../../src/oci/repository-name.ts'
import { BLOBS, MANIFEST } from './doctor-content-rows.ts'
import { PUSH, REDIRECT } from './doctor-delivery-rows.ts'
import { LOGIN, UPSTREAMS } from './doctor-login-rows.ts'
import type { PatientServer } from './doctor-patient.ts'
import { IMAGE, startPatient } from './doctor-patient.ts'
import { REGISTRY } from './doctor-registry-rows.ts'
import type { Row } from './doctor-row.ts'
import { stored } from './doctor-row.ts'

const CI: Credentials = { name: 'ci', secret: 'canary-secret', from: 'ENTREPOT_SECRET' }

/** Examines it, and ends it. */
async function examineServer(
  server: PatientServer,
  {
    isAnonymous = false,
    within = 10,
    image,
  }: Pick<Row, 'isAnonymous' | 'within'> & { readonly image?: string } = {},
): Promise<readonly Finding[]> {
  try {
    return await examine({
      url: server.url,
      image: image === undefined ? undefined : parseImage(image),
      push: 'hosted/app' as RepositoryName,
      credentials: isAnonymous ? 'nobody' : CI,
      prober: new Prober({ request: within, all: 30 }),
    })
  } finally {
    await server.close()
  }
}

describe.each([
  { what: 'the registry', rows: REGISTRY },
  { what: 'the login', rows: LOGIN },
  { what: 'the upstreams', rows: UPSTREAMS },
  { what: 'a manifest', rows: MANIFEST },
  { what: 'a blob', rows: BLOBS },
  { what: 'a redirect', rows: REDIRECT },
  { what: 'a push', rows: PUSH },
])('says of $what', ({ rows }) => {
  it.each(rows)('$name', async ({ symptoms, check, state = 'problem', says, advice, ...how }) => {
    const findings = await examineServer(await startPatient(symptoms), how)
    const found = findings.find((each) => each.check === check)
    const sentence = says instanceof RegExp ? expect.stringMatching(says) : says
    expect(found).toMatchObject({ state, says: sentence })
    expect(found?.advice ?? '').toContain(advice ?? '')
    const isBad = state === 'problem' || state === 'warning'
    expect(found?.advice === undefined).toBe(!isBad)
    // Every check has its line, whatever is wrong.
    expect(new Set(findings.map((each) => each.check)).size).toBe(13)
    expect(formatFindings(findings)).not.toMatch(/canary|[^\n -~…]/)
  })
})

describe('the doctor', () => {
  it('finds nothing wrong with a registry that is well', async () => {
    const server = await startPatient()
    const findings = await examineServer(server)
    expect(findings.filter(({ state }) => state !== 'ok')).toEqual([])
  })

  it('sends the secret to the registry alone, and to storage nothing', async () => {
    const server = await startPatient(stored({}))
    await examineServer(server)
    const storage = server.asked.filter(({ what }) => what.startsWith('storage'))
    expect(storage).toEqual([
      { what: 'storage range', authorization: undefined },
      { what: 'storage', authorization: undefined },
    ])
    const pulled = server.asked.filter(({ what }) =>
      /^(manifest|blob|range|upload|cancel)/.test(what),
    )
    expect(pulled.length).toBeGreaterThan(6)
    for (const { authorization } of pulled) expect(authorization).toBe('Bearer canary-token')
  })

  it('sends no secret to a token service elsewhere', async () => {
    const server = await startPatient(({ storage }) => ({
      base: {
        status: 401,
        headers: { 'www-authenticate': `Bearer realm="${storage}/token",service="s"` },
      },
      storage: { status: 200, body: '{"token":"canary-token"}' },
    }))
    const findings = await examineServer(server)
    expect(server.asked.filter(({ authorization }) => authorization?.startsWith('Basic'))).toEqual(
      [],
    )
    expect(findings.find(({ check }) => check === 'account token')?.says).toMatch(
      /^the secret is for http:\/\/127\.0\.0\.1:\d+, and goes nowhere else$/,
    )
  })

  it('looks for the image that it was told', async () => {
    const server = await startPatient()
    const findings = await examineServer(server, { image: 'hosted/app:2' })
    expect(server.asked.map(({ what }) => what)).not.toContain('catalog')
    const said = findings.find(({ check }) => check === 'manifest GET')?.says
    expect(said).toMatch(/^hosted\/app:2 is sha256:/)
  })
})

describe('what a loopback cannot show', () => {
  const url = new URL('https://registry.example.com/v2/')
  const silent = (reason: Reason, code: string): Unanswered => ({
    kind: 'unanswered',
    url,
    reason,
    code,
    within: 30,
  })
  const answered = (more: Partial<Answered> = {}): Answered => ({
    kind: 'answered',
    url,
    status: 200,
    headers: new Headers({ 'docker-distribution-api-version': 'registry/2.0' }),
    bytes: new Uint8Array(),
    isWhole: true,
    milliseconds: 1,
    ...more,
  })

  it.each([
    { code: 'ENOTFOUND', says: 'registry.example.com does not resolve', advice: 'misspelt' },
    { code: 'EAI_AGAIN', says: 'registry.example.com does not resolve', advice: 'misspelt' },
    {
      code: 'ECONNREFUSED',
      says: 'nothing listens on registry.example.com',
      advice: 'npm start',
    },
    { code: 'EHOSTUNREACH', says: 'there is no way to registry.example.com', advice: 'VPN' },
    { code: 'UND_ERR_CONNECT_TIMEOUT', says: 'no answer from registry.example.com within 30 s' },
    { code: 'CERT_HAS_EXPIRED', says: 'the certificate of registry.example.com is not accepted' },
    {
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      says: 'the certificate of registry.example.com is not',
    },
    {
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
      says: 'the certificate of',
      advice: 'NODE_EXTRA_CA_CERTS',
    },
    { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', says: 'the certificate of registry.example.com' },
    { code: 'ERR_SSL_WRONG_VERSION_NUMBER', says: 'registry.example.com does not speak TLS' },
    { code: 'UND_ERR_SOCKET', says: 'registry.example.com closes the connection' },
    { code: 'HPE_INVALID_CONSTANT', says: 'registry.example.com closes the connection' },
    { code: 'bad port', says: 'registry.example.com cannot be asked (bad port)', advice: 'curl' },
  ])('$code', ({ code, says, advice = '' }) => {
    const base = silent(reasonOf(code), code)
    const { findings, isRegistry } = diagnoseRegistry(base, base)
    expect(isRegistry).toBe(false)
    expect(findings).toMatchObject([{ check: 'reachable', state: 'problem' }])
    expect(findings[0]?.says).toContain(says)
    expect(findings[0]?.advice).toContain(advice)
  })

  it.each([
    { name: 'https', at: 'https://registry.example.com/v2/', want: 'ok' },
    { name: 'http on this machine', at: 'http://localhost:5050/v2/', want: 'ok' },
    { name: 'http in a private network', at: 'http://10.0.0.7:5050/v2/', want: 'warning' },
    { name: 'http in the open', at: 'http://registry.example.com/v2/', want: 'problem' },
  ])('$name', ({ at, want }) => {
    const base = answered({ url: new URL(at) })
    const [reach] = diagnoseRegistry(base, base).findings
    expect(reach?.state).toBe(want)
    expect(reach?.says.endsWith('over http')).toBe(want !== 'ok')
  })

  it('a token service that https leads to by http', () => {
    const challenge = 'Bearer realm="http://registry.example.com/token",service="s"'
    const headers = new Headers({ 'www-authenticate': challenge })
    const { finding } = diagnoseChallenge(answered({ status: 401, headers }))
    expect(finding).toMatchObject({
      state: 'problem',
      says: 'tokens from http://registry.example.com, over http',
      advice: expect.stringContaining('PUBLIC_URL to "https://registry.example.com"'),
    })
  })

  it.each([
    {
      name: 'by http',
      to: 'http://s3.example.com/b',
      says: 'redirects from https to http (s3.example.com)',
      advice: 'must be https',
    },
    {
      name: 'to this machine',
      to: 'https://localhost:9/b',
      says: 'redirects to localhost:9, which is this machine alone',
      advice: 'would ask itself',
    },
    {
      name: 'below its own host',
      to: 'https://s3.registry.example.com/b',
      says: "redirects to s3.registry.example.com, which belongs to the registry's own host",
      advice: 'on another domain',
    },
  ])('a redirect $name', ({ to, says, advice }) => {
    const redirect = answered({ status: 307, headers: new Headers({ location: `${to}?canary` }) })
    const finding = diagnoseRedirect({ redirect, blob: { digest: IMAGE.digest, size: 1 } })
    expect(finding).toMatchObject({ state: 'problem', says })
    expect(finding.advice).toContain(advice)
  })

  it('a secret that would go over http', async () => {
    const server = await startPatient()
    const finding = await examineAccount(
      {
        url: new URL('http://registry.example.com'),
        image: undefined,
        push: undefined,
        credentials: CI,
        prober: new Prober({ request: 10, all: 30 }),
      },
      { realm: server.url, service: 's' },
    )
    await server.close()
    expect(finding).toMatchObject({ finding: { says: 'no secret is sent over http' } })
    expect(server.asked).toEqual([])
  })
})

describe('what is printed', () => {
  it('is a line for each check, a sentence for what is wrong, and a sum', () => {
    const trouble = { says: 'it is gone', advice: 'Make a new one.' }
    const findings = [fine('reachable', 'yes'), problem('registry', trouble)]
    expect(formatFindings(findings)).toBe(
      [
        'ok        reachable   yes',
        'problem   registry    it is gone',
        '',
        'problem: registry: it is gone.',
        '  Make a new one.',
        '',
        '1 problem.',
      ].join('\n'),
    )
    expect(formatFindings([fine('reachable', 'yes')])).toMatch(/\n\nAll is well\.$/)
  })

  it('has no secret that a server sends back', () => {
    const basic = Buffer.from(`ci:${CI.secret}`).toString('base64')
    const sent = `${CI.secret} ${basic} eyJh.eyJi.c https://a.example/b?sig=canary "http://c.example?d"`
    expect(withoutSecrets(sent, CI)).toBe('… … … https://a.example/b?… "http://c.example?…"')
  })
})

describe('the image', () => {
  const at = new URL('https://registry.example.com')

  it.each([
    { text: 'docker.io/library/alpine:3.20', want: 'docker.io/library/alpine:3.20' },
    { text: 'hosted/app', want: 'hosted/app:latest' },
    { text: 'registry.example.com/hosted/app:1', want: 'hosted/app:1' },
    { text: `hosted/app@${IMAGE.digest}`, want: `hosted/app@${IMAGE.digest}` },
    { text: `hosted/app:1@${IMAGE.digest}`, want: `hosted/app@${IMAGE.digest}` },
    { text: 'Hosted/app', want: undefined },
    { text: 'hosted/app:', want: undefined },
    { text: 'hosted/app@sha256:0', want: undefined },
  ])('$text', ({ text, want }) => {
    const image = parseImage(text, at)
    expect(image && formatImage(image)).toBe(want)
  })

  it.each([
    { hosts: [], want: 'docker.io/library/hello-world:latest' },
    { hosts: ['quay.io'], want: 'quay.io/libpod/hello:latest' },
    { hosts: ['own.example', 'docker.io'], want: 'docker.io/library/hello-world:latest' },
    { hosts: ['own.example'], want: undefined },
  ])('of $hosts', ({ hosts, want }) => {
    const image = sampleOf(hosts)
    expect(image && formatImage(image)).toBe(want)
  })
})
