// What the doctor says of manifests and blobs.

import { BLOB, IMAGE, redirectTo } from './doctor-patient.ts'
import { HTML, SIGNED, WHAT, error } from './doctor-row.ts'
import type { Row } from './doctor-row.ts'

/** Rows of manifests. */
export const MANIFEST: readonly Row[] = [
  {
    name: 'a page',
    symptoms: () => ({ manifest: HTML }),
    check: 'manifest GET',
    says: /^a page for people/,
  },
  {
    name: 'a login that is needed',
    symptoms: () => ({ manifest: error(401, 'authentication required') }),
    isAnonymous: true,
    check: 'manifest GET',
    state: 'not checked',
    says: `${WHAT} needs a login: set ENTREPOT_SECRET=<name>:<secret>`,
  },
  {
    name: 'an account without the right',
    symptoms: () => ({ manifest: error(401, 'authentication required') }),
    check: 'manifest GET',
    says: `ci may not pull ${WHAT} (401)`,
    advice: '--grant',
  },
  {
    name: 'an upstream that refuses',
    symptoms: () => ({ manifest: error(403, 'the upstream refuses access to this repository') }),
    check: 'manifest GET',
    says: `the upstream refuses ${WHAT} (403: the upstream refuses access to this repository)`,
    advice: 'UPSTREAM_CREDENTIALS',
  },
  {
    name: 'an image that is not there',
    symptoms: () => ({ manifest: error(404, 'manifest unknown to registry') }),
    check: 'manifest GET',
    says: `${WHAT} is not there (404: manifest unknown to registry)`,
    advice: 'UPSTREAMS',
  },
  {
    name: 'an upstream that limits',
    symptoms: () => ({
      manifest: error(429, 'the upstream limits requests and this is not cached', {
        'retry-after': '77',
      }),
    }),
    check: 'manifest GET',
    says: `${WHAT} cannot be fetched now (429: the upstream limits requests and this is not cached), again in 77 s`,
    advice: 'shared with everybody',
  },
  {
    name: 'an upstream that is down',
    symptoms: () => ({ manifest: error(502, 'the upstream is unavailable') }),
    check: 'manifest GET',
    says: `the upstream of ${WHAT} fails (502: the upstream is unavailable)`,
    advice: 'What is cached is served on',
  },
  {
    name: 'an upstream that is slow',
    symptoms: () => ({ manifest: error(504, 'the upstream does not answer') }),
    check: 'manifest GET',
    says: `the upstream of ${WHAT} does not answer in time (504: the upstream does not answer)`,
    advice: 'alternates',
  },
  {
    name: 'storage that is away',
    symptoms: () => ({ manifest: error(503, 'internal error', { 'retry-after': '5' }) }),
    check: 'manifest GET',
    says: 'storage or an object of the registry is away (503: internal error)',
    advice: 'Try again in 5 s',
  },
  {
    name: 'another answer',
    symptoms: () => ({ manifest: { status: 418, body: '' } }),
    check: 'manifest GET',
    says: `${WHAT} is answered 418`,
    advice: 'X-Request-Id',
  },
  {
    name: 'no digest',
    symptoms: () => ({ manifest: { headers: { 'docker-content-digest': undefined } } }),
    check: 'manifest GET',
    says: `${WHAT} comes without Docker-Content-Digest`,
    advice: 'what a tag is',
  },
  {
    name: 'other bytes',
    symptoms: () => ({ manifest: { body: `${new TextDecoder().decode(IMAGE.bytes)} ` } }),
    check: 'manifest GET',
    says: `the bytes of ${WHAT} do not have their digest`,
    advice: 'virus scanner',
  },
  {
    name: 'an encoding that nobody asked for',
    symptoms: () => ({ manifest: { headers: { 'content-encoding': 'x-none' } } }),
    check: 'manifest GET',
    state: 'warning',
    says: /, encoded \(x-none\) though nobody asked for it$/,
    advice: 'pass unchanged',
  },
  {
    name: 'what is out of date',
    symptoms: () => ({
      manifest: {
        headers: { warning: '110 - "Response is Stale", 299 - "docker.io: no answer"', age: '900' },
      },
    }),
    check: 'manifest GET',
    state: 'warning',
    says: /, out of date by 900 s \(docker\.io: no answer\)$/,
    advice: 'maxStale',
  },
  {
    name: 'a HEAD that is refused',
    symptoms: () => ({ 'manifest HEAD': { status: 405 } }),
    check: 'manifest HEAD',
    says: 'HEAD is answered 405, GET 200',
    advice: 'treats HEAD differently',
  },
  {
    name: 'a HEAD that is redirected',
    symptoms: ({ storage }) => ({ 'manifest HEAD': redirectTo(`${storage}${SIGNED}`) }),
    check: 'manifest HEAD',
    says: /^a redirect to localhost:\d+ \(307\)$/,
  },
  {
    name: 'a HEAD without digest',
    symptoms: () => ({ 'manifest HEAD': { headers: { 'docker-content-digest': undefined } } }),
    check: 'manifest HEAD',
    says: 'HEAD comes without Docker-Content-Digest',
    advice: 'containerd',
  },
  {
    name: 'a HEAD without length',
    symptoms: () => ({ 'manifest HEAD': { headers: { 'content-length': '1' } } }),
    check: 'manifest HEAD',
    says: 'HEAD comes without the length that GET has',
    advice: 'crane and oras',
  },
  {
    name: 'a tag that moves',
    symptoms: () => ({ 'manifest HEAD': { headers: { 'docker-content-digest': 'sha256:0' } } }),
    check: 'manifest HEAD',
    state: 'ok',
    says: 'the tag has just moved',
  },
  {
    name: 'no image at all',
    symptoms: () => ({
      catalog: { body: '{"repositories":[]}' },
      'status of an administrator': { body: '{"upstreams":[{"host":"own.example","gates":[]}]}' },
    }),
    check: 'manifest GET',
    state: 'not checked',
    says: 'no image is known: name one with --image',
  },
]

const SHORT = (BLOB?.digest ?? '').slice(0, 19)
const SIZE = BLOB?.bytes.length ?? 0

/** Rows of blobs. */
export const BLOBS: readonly Row[] = [
  {
    name: 'a HEAD that is redirected',
    symptoms: ({ storage }) => ({ 'blob HEAD': redirectTo(`${storage}${SIGNED}`) }),
    check: 'blob HEAD',
    says: 'HEAD is redirected (307)',
    advice: 'signed for GET',
  },
  {
    name: 'a HEAD without digest',
    symptoms: () => ({ 'blob HEAD': { headers: { 'docker-content-digest': undefined } } }),
    check: 'blob HEAD',
    says: 'HEAD comes without Docker-Content-Digest',
    advice: 'removes it',
  },
  {
    name: 'a HEAD with another length',
    symptoms: () => ({ 'blob HEAD': { headers: { 'content-length': '7' } } }),
    check: 'blob HEAD',
    says: `HEAD says 7 of the length, which is ${SIZE}`,
    advice: 'compression',
  },
  {
    name: 'a blob that is not there',
    symptoms: () => ({ 'blob HEAD': { status: 404 } }),
    check: 'blob HEAD',
    says: `${SHORT}… is not there (404)`,
  },
  {
    name: 'other bytes',
    symptoms: () => ({ blob: { body: 'x'.repeat(SIZE) } }),
    check: 'blob GET',
    says: `the bytes of ${SHORT}… do not have their digest`,
    advice: 'changes or cuts them',
  },
  {
    name: 'a body that breaks off',
    symptoms: () => ({ blob: { silence: 'cut' } }),
    check: 'blob GET',
    says: /breaks off/,
  },
  {
    name: 'a blob that cannot be fetched',
    symptoms: () => ({ blob: error(502, 'the upstream is unavailable') }),
    check: 'blob GET',
    says: `the upstream of ${SHORT}… fails (502: the upstream is unavailable)`,
  },
  {
    name: 'the whole for a range',
    symptoms: () => ({
      range: { status: 200, headers: { 'content-range': undefined }, body: BLOB?.bytes ?? '' },
    }),
    check: 'blob range',
    says: 'a range is answered with the whole (200)',
    advice: 'cannot resume',
  },
  {
    name: 'a range without its place',
    symptoms: () => ({ range: { headers: { 'content-range': 'bytes 0-63/*' } } }),
    check: 'blob range',
    says: `a range comes without "Content-Range: bytes 0-63/${SIZE}"`,
    advice: 'assemble a wrong file',
  },
  {
    name: 'a range of other bytes',
    symptoms: () => ({ range: { body: 'x'.repeat(64) } }),
    check: 'blob range',
    says: 'a range has other bytes than the whole',
    advice: 'mixes up ranges',
  },
  {
    name: 'a range that is refused',
    symptoms: () => ({ range: { status: 416 } }),
    check: 'blob range',
    says: `a range of ${SHORT}… is answered 416`,
  },
  {
    name: 'an image without blobs',
    symptoms: () => {
      const empty = { schemaVersion: 2, mediaType: IMAGE.mediaType, layers: [] }
      return {
        manifest: { headers: { 'docker-content-digest': undefined }, body: JSON.stringify(empty) },
      }
    },
    check: 'blob HEAD',
    state: 'not checked',
    says: `${WHAT} leads to no blob`,
  },
]
