// What the doctor says of redirects and of pushes.

import { redirectTo } from './doctor-patient.ts'
import { HTML, SIGNED, error, stored, xml } from './doctor-row.ts'
import type { Row } from './doctor-row.ts'

/** Rows of redirects. */
export const REDIRECT: readonly Row[] = [
  {
    name: 'nothing redirected',
    symptoms: () => ({}),
    check: 'redirect',
    state: 'ok',
    says: /^blobs are streamed/,
  },
  {
    name: 'no blob',
    symptoms: () => ({ blob: { status: 404 }, range: { status: 404 } }),
    check: 'redirect',
    state: 'not checked',
    says: 'no blob was served',
  },
  {
    name: 'a redirect that works',
    symptoms: stored({}),
    check: 'redirect',
    state: 'ok',
    says: /^to localhost:\d+, where the bytes and a range of them arrive$/,
  },
  {
    name: 'a redirect to nowhere',
    symptoms: () => ({ range: redirectTo('s3://bucket/key') }),
    check: 'redirect',
    says: 'a redirect to nowhere',
    advice: 'S3_ENDPOINT',
  },
  {
    name: 'a permanent redirect',
    symptoms: ({ storage }) => ({ range: { ...redirectTo(`${storage}${SIGNED}`), status: 301 } }),
    check: 'redirect',
    says: /^a permanent redirect \(301\) to localhost:\d+$/,
    advice: 'good for two minutes',
  },
  {
    name: 'a redirect to the same host',
    symptoms: ({ registry }) => ({ range: redirectTo(`${registry}${SIGNED}`) }),
    check: 'redirect',
    says: /^redirects to 127\.0\.0\.1:\d+, which belongs to the registry's own host$/,
    advice: 'two kinds of authentication',
  },
  {
    name: 'a redirect to a closed port',
    symptoms: () => ({ range: redirectTo(`http://localhost:9${SIGNED}`) }),
    check: 'redirect',
    says: /^redirects to localhost:9, and there: (nothing listens on|localhost:9 cannot)/,
    advice: 'allows one only',
  },
  {
    name: 'a page at storage',
    symptoms: stored({ status: 403, ...HTML }),
    check: 'redirect',
    says: /^redirects to localhost:\d+, and there: a page for people/,
  },
  ...(
    [
      ['SignatureDoesNotMatch', 403, 'S3_SECRET_ACCESS_KEY'],
      ['ExpiredRequest', 403, 'clock'],
      ['RequestTimeTooSkewed', 403, 'clocks'],
      ['Unauthorized', 401, 'S3_ACCESS_KEY_ID is not known'],
      ['InvalidAccessKeyId', 403, 'S3_ACCESS_KEY_ID is not known'],
      ['InvalidArgument', 400, 'has not the form'],
      ['AccessDenied', 403, 'Object Read'],
      ['NoSuchBucket', 404, 'no bucket of the name'],
      ['NoSuchKey', 404, 'bucket_name of the binding'],
      ['InternalError', 500, 'or storage is away'],
    ] as const
  ).map(([code, status, advice]): Row => ({
    name: `${code} at storage`,
    symptoms: stored(xml(status, code)),
    check: 'redirect',
    says: new RegExp(`^localhost:\\d+ refuses its URL \\(${status} ${code}\\)$`),
    advice,
  })),
  {
    name: 'nothing at storage',
    symptoms: stored({ status: 404, body: 'no' }),
    check: 'redirect',
    says: /^localhost:\d+ refuses its URL \(404\)$/,
    advice: 'leads elsewhere',
  },
  {
    name: 'the whole for a range at storage',
    symptoms: stored({ status: 200 }),
    check: 'redirect',
    says: /^localhost:\d+: a range is answered with the whole \(200\)$/,
  },
  {
    name: 'other bytes at storage',
    symptoms: ({ storage }) => ({
      range: redirectTo(`${storage}${SIGNED}`),
      storage: { body: 'of another bucket' },
    }),
    check: 'redirect',
    says: /^localhost:\d+ has other bytes than sha256:\w+…$/,
    advice: 'another bucket',
  },
  {
    name: 'a range of other bytes at storage',
    symptoms: stored({ body: 'x'.repeat(64) }),
    check: 'redirect',
    says: /^localhost:\d+: a range has other bytes than the whole$/,
  },
  {
    name: 'a URL that may be kept',
    symptoms: ({ storage }) => ({
      range: redirectTo(`${storage}${SIGNED}`, { 'cache-control': 'private' }),
    }),
    check: 'redirect',
    state: 'warning',
    says: 'redirects without Cache-Control: no-store',
    advice: 'to others',
  },
  {
    name: 'a path that may be told',
    symptoms: ({ storage }) => ({
      range: redirectTo(`${storage}${SIGNED}`, { 'referrer-policy': undefined }),
    }),
    check: 'redirect',
    state: 'warning',
    says: 'redirects without Referrer-Policy: no-referrer',
    advice: 'the path they came from',
  },
]

/** Rows of pushes. */
export const PUSH: readonly Row[] = [
  {
    name: 'a repository that takes uploads',
    symptoms: () => ({}),
    check: 'push',
    state: 'ok',
    says: 'hosted/app takes uploads of ci',
  },
  {
    name: 'nobody to ask as',
    symptoms: () => ({}),
    isAnonymous: true,
    check: 'push',
    state: 'not checked',
    says: 'needs a login',
  },
  {
    name: 'an account without the right',
    symptoms: () => ({ upload: { status: 401 } }),
    check: 'push',
    says: 'ci may not push to hosted/app (401)',
    advice: 'hosted/app=pull,push',
  },
  {
    name: 'a mirror',
    symptoms: () => ({ upload: error(405, 'a mirrored repository can only be read') }),
    check: 'push',
    says: 'hosted/app takes no pushes (405: a mirrored repository can only be read)',
    advice: 'HOSTED',
  },
  {
    name: 'storage that is away',
    symptoms: () => ({ upload: error(503, 'internal error') }),
    check: 'push',
    says: 'uploads cannot be kept (503: internal error)',
    advice: 'Durable Objects',
  },
  {
    name: 'another answer',
    symptoms: () => ({ upload: { status: 500 } }),
    check: 'push',
    says: 'an upload to hosted/app is answered 500 (no message)',
    advice: 'X-Request-Id',
  },
  {
    name: 'a page',
    symptoms: () => ({ upload: { ...HTML, status: 413 } }),
    check: 'push',
    says: /^a page for people instead of an answer \(413/,
  },
  {
    name: 'an upload without Location',
    symptoms: () => ({ upload: { headers: { location: undefined } } }),
    check: 'push',
    says: 'an upload starts without a Location',
    advice: 'removes it',
  },
  {
    name: 'an upload that goes on elsewhere',
    symptoms: ({ storage }) => ({ upload: { headers: { location: `${storage}/upload?canary` } } }),
    check: 'push',
    says: /^an upload goes on at http:\/\/localhost:\d+$/,
    advice: 'rewrites Location',
  },
  {
    name: 'an upload that cannot be cancelled',
    symptoms: () => ({ cancel: { status: 405 } }),
    check: 'push',
    state: 'warning',
    says: 'hosted/app takes uploads of ci, but cannot be cancelled (405)',
    advice: 'ends by itself',
  },
]
