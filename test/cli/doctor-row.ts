// One thing that is wrong with a registry, what the doctor says of it, and the wrong answers that rows share.

import type { Check, Finding } from '../../cli/doctor-finding.ts'
import type { Symptom, Symptoms } from './doctor-patient.ts'
import { redirectTo } from './doctor-patient.ts'

/** A row: the first finding of a check, for a registry that has these symptoms. */
export interface Row {
  readonly name: string
  readonly symptoms: Symptoms
  readonly check: Check
  readonly state?: Finding['state']
  readonly says: string | RegExp
  readonly advice?: string
  /** In nobody's name. */
  readonly isAnonymous?: boolean
  /** Seconds to wait for an answer. */
  readonly within?: number
}

/** The image of the patient. */
export const WHAT = 'docker.io/library/hello-world:latest'
/** Where storage is asked; the query is a secret. */
export const SIGNED = '/bucket/key?X-Amz-Signature=canary-signature'
/** A page for people, with something that a terminal would obey. */
export const HTML = {
  headers: { 'content-type': 'text/html' },
  body: '<html><title>Log in\u001b[31m</title>',
}

/** An error of a registry. */
export function error(
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Symptom {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ errors: [{ code: 'UNKNOWN', message }] }),
  }
}

/** An error of storage. */
export function xml(status: number, code: string): Symptom {
  return {
    status,
    headers: { 'content-type': 'application/xml' },
    body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`,
  }
}

/** The registry redirects, and storage answers so to a range. */
export function stored(storage: Symptom): Symptoms {
  return (places) => ({
    range: redirectTo(`${places.storage}${SIGNED}`),
    'storage range': storage,
  })
}
