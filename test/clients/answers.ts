// What single requests must be answered, where a row looks closer than a client does.

import { expectEqual } from './client.ts'

/** An error in the registry's own form. */
export interface ErrorAnswer {
  readonly status: number
  readonly code: string
  readonly headers: Headers
  readonly seconds: number
}

const ACCEPT =
  'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*'

/** A request whose answer must come within 15 s, whatever the upstream does. */
export async function ask(url: string, method = 'GET'): Promise<Response> {
  return fetch(url, { method, headers: { Accept: ACCEPT }, signal: AbortSignal.timeout(15_000) })
}

/** Asks for something that cannot be had, and fails unless the answer is registry JSON without a challenge. */
export async function askInVain(url: string, statuses: readonly number[]): Promise<ErrorAnswer> {
  const start = performance.now()
  const response = await ask(url)
  const body = await response.text()
  const seconds = (performance.now() - start) / 1000
  const what = `${url} answered ${response.status} ${body}`
  if (!statuses.includes(response.status)) {
    throw new Error(`${what}; expected ${statuses.join(', ')}`)
  }
  const type = response.headers.get('Content-Type') ?? ''
  expectEqual(`JSON of ${what}`, type.startsWith('application/json'), true)
  expectEqual(`challenge of ${what}`, response.headers.get('WWW-Authenticate'), null)
  const [error] = errorsOf(JSON.parse(body))
  if (error === undefined) throw new Error(`${what}: no error code`)
  return { status: response.status, code: error, headers: response.headers, seconds }
}

function errorsOf(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null || !('errors' in value)) return []
  const { errors } = value
  if (!Array.isArray(errors)) return []
  return errors.map((one: unknown) =>
    typeof one === 'object' && one !== null && 'code' in one ? String(one.code) : '',
  )
}
