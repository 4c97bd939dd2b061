// The table of codes, held against the spec, and the form that a client sees.

import { describe, expect, it } from 'vitest'

import type { ErrorCode } from '../../src/oci/error.ts'
import { CODES, errorBody, RegistryError } from '../../src/oci/error.ts'

/** distribution-spec v1.1.1, "Error Codes": code-1 to code-14. */
const SPEC_CODES = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS',
]

it('the table holds the codes of the spec, of the token service, and UNKNOWN, no other', () => {
  const tokens = ['MISSING_REQUIRED_FIELD', 'UNSUPPORTED_VALUE', 'BAD_TOKEN_OPTION']
  expect(Object.keys(CODES)).toEqual([...SPEC_CODES, ...tokens, 'UNKNOWN'])
})

it('only UNKNOWN is a failure of the server', () => {
  const failures = Object.entries(CODES).filter(([, { status }]) => status >= 500)
  expect(failures.map(([code]) => code)).toEqual(['UNKNOWN'])
})

describe('the status', () => {
  it.each<{ name: string; code: ErrorCode; status?: number; want: number }>([
    { name: 'comes from the table', code: 'NAME_UNKNOWN', want: 404 },
    { name: 'of UNKNOWN is 500', code: 'UNKNOWN', want: 500 },
    { name: 'of UNKNOWN may be 502', code: 'UNKNOWN', status: 502, want: 502 },
    { name: 'of UNKNOWN may be 503', code: 'UNKNOWN', status: 503, want: 503 },
    { name: 'of UNKNOWN may be 504', code: 'UNKNOWN', status: 504, want: 504 },
    { name: 'of UNKNOWN is never 4xx', code: 'UNKNOWN', status: 404, want: 500 },
    { name: 'of an oversized manifest is 413', code: 'SIZE_INVALID', status: 413, want: 413 },
    { name: 'of UNSUPPORTED is 405', code: 'UNSUPPORTED', want: 405 },
    { name: 'of UNSUPPORTED may be 400', code: 'UNSUPPORTED', status: 400, want: 400 },
    { name: 'of UNSUPPORTED may be 404', code: 'UNSUPPORTED', status: 404, want: 404 },
    { name: 'of a bad chunk is 416', code: 'BLOB_UPLOAD_INVALID', status: 416, want: 416 },
    { name: 'of UNSUPPORTED may be 414', code: 'UNSUPPORTED', status: 414, want: 414 },
    { name: 'of another code stays', code: 'DENIED', status: 404, want: 403 },
  ])('$name', ({ code, status, want }) => {
    expect(new RegistryError(code, status === undefined ? {} : { status }).status).toBe(want)
  })
})

describe('RegistryError', () => {
  it('is an error with the message of the table', () => {
    const error = new RegistryError('DENIED')
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({
      name: 'RegistryError',
      code: 'DENIED',
      message: CODES.DENIED.message,
      details: [undefined],
      headers: {},
    })
    expect('cause' in error).toBe(false)
  })

  it('carries what it is given', () => {
    const cause = new Error('reset')
    const headers = { 'Retry-After': '7' }
    const error = new RegistryError('TOOMANYREQUESTS', { message: 'slow down', headers, cause })
    expect(error).toMatchObject({ message: 'slow down', headers, cause })
  })
})

describe('errorBody', () => {
  it('leaves out a detail that is not there', () => {
    expect(JSON.parse(errorBody(new RegistryError('NAME_INVALID')))).toEqual({
      errors: [{ code: 'NAME_INVALID', message: CODES.NAME_INVALID.message }],
    })
  })

  it('has an entry for each of several details', () => {
    const details = [{ digest: 'a' }, { digest: 'b' }]
    const { message } = CODES.MANIFEST_BLOB_UNKNOWN
    expect(JSON.parse(errorBody(new RegistryError('MANIFEST_BLOB_UNKNOWN', { details })))).toEqual({
      errors: details.map((detail) => ({ code: 'MANIFEST_BLOB_UNKNOWN', message, detail })),
    })
  })

  it('shows the detail, never the cause', () => {
    const error = new RegistryError('NAME_UNKNOWN', {
      detail: { name: 'a"\r\n' },
      cause: new Error('secret'),
    })
    const body = errorBody(error)
    expect(JSON.parse(body).errors[0].detail).toEqual({ name: 'a"\r\n' })
    expect(body).not.toContain('secret')
    expect(body).not.toContain('\n')
  })
})
