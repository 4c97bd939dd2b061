// What a client is told of each failure of an upstream.

import { describe, expect, it } from 'vitest'
import type { MirrorFailure } from '../../src/mirror/admission.ts'
import { errorBody } from '../../src/oci/error.ts'
import type { ErrorCode } from '../../src/oci/error.ts'
import { registryErrorOf } from '../../src/registry/failure.ts'

const REASON = 'canary-of-the-upstream'

interface Row {
  readonly failure: MirrorFailure
  readonly unknown: ErrorCode
  readonly want: string
  readonly retryAfter?: string
}

describe('registryErrorOf', () => {
  it.each<Row>([
    { failure: { kind: 'not-found' }, unknown: 'MANIFEST_UNKNOWN', want: '404 MANIFEST_UNKNOWN' },
    { failure: { kind: 'not-found' }, unknown: 'BLOB_UNKNOWN', want: '404 BLOB_UNKNOWN' },
    { failure: { kind: 'not-found' }, unknown: 'NAME_UNKNOWN', want: '404 NAME_UNKNOWN' },
    {
      failure: { kind: 'unauthorized', reason: REASON },
      unknown: 'MANIFEST_UNKNOWN',
      want: '403 DENIED',
    },
    {
      failure: { kind: 'denied', reason: REASON },
      unknown: 'MANIFEST_UNKNOWN',
      want: '403 DENIED',
    },
    {
      failure: { kind: 'rate-limited', retryAfter: 77 },
      unknown: 'MANIFEST_UNKNOWN',
      want: '429 TOOMANYREQUESTS',
      retryAfter: '77',
    },
    {
      failure: { kind: 'limited-here', retryAfter: 5 },
      unknown: 'MANIFEST_UNKNOWN',
      want: '429 TOOMANYREQUESTS',
      retryAfter: '5',
    },
    {
      failure: { kind: 'unavailable', isTimeout: false, reason: REASON },
      unknown: 'MANIFEST_UNKNOWN',
      want: '502 UNKNOWN',
      retryAfter: '10',
    },
    {
      failure: { kind: 'unavailable', isTimeout: true, reason: REASON },
      unknown: 'MANIFEST_UNKNOWN',
      want: '504 UNKNOWN',
      retryAfter: '10',
    },
    {
      failure: { kind: 'invalid', reason: 'a URL leads away from https' },
      unknown: 'MANIFEST_UNKNOWN',
      want: '502 UNKNOWN',
    },
  ])('$failure.kind: $want', ({ failure, unknown, want, retryAfter }) => {
    const error = registryErrorOf(failure, unknown)
    expect(`${error.status} ${error.code}`).toBe(want)
    expect(error.headers['Retry-After']).toBe(retryAfter)
    // Logging in here would not help, so nobody is asked to.
    expect(error.headers['WWW-Authenticate']).toBeUndefined()
    expect(errorBody(error)).not.toContain(REASON)
  })

  it.each<{ readonly failure: MirrorFailure; readonly whose: RegExp }>([
    { failure: { kind: 'rate-limited', retryAfter: 1 }, whose: /^the upstream limits/ },
    { failure: { kind: 'limited-here', retryAfter: 1 }, whose: /^this registry limits/ },
  ])('$failure.kind: it says whose limit it is', ({ failure, whose }) => {
    expect(registryErrorOf(failure, 'BLOB_UNKNOWN').message).toMatch(whose)
  })
})
