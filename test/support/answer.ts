// An answer of the registry as tests look at it.

import { expect } from 'vitest'

/** Status and code of an answer that must be registry JSON, with a request id, and show nothing else. */
export async function refusalOf(response: Response): Promise<string> {
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  const body: { errors: { code: string; message: string }[] } = JSON.parse(await response.text())
  expect(Object.keys(body)).toEqual(['errors'])
  expect(body.errors).toHaveLength(1)
  return `${response.status} ${body.errors[0]?.code}`
}

/** The exact bytes of the body. */
export async function bytesOf(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer())
}

/** The target of the `Link` to the next page. */
export function nextOf(response: Response): string | undefined {
  return /^<([^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
}
