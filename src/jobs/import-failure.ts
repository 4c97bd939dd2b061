// What goes wrong with an import, in words for people: what can never succeed, and how long to leave alone what may.

import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import type { Tag } from '../oci/reference.ts'
import type { PushAnswer } from '../hosted/repository.ts'
import { ItemFailure } from './import-pace.ts'
import { SourceError } from './import-source.ts'

/** While an upstream may not be asked, that is looked at again after so long (milliseconds). */
const CLOSED = 60_000
/** Digests that a message names. */
const MAX_NAMED = 3

/** What can never succeed, in words; `undefined`: it may, later. */
export function permanent(error: unknown): string | undefined {
  if (error instanceof ItemFailure) return error.message
  if (error instanceof RegistryError && error.status < 500) return error.message
  if (!(error instanceof SourceError)) return undefined
  const { kind } = error.failure
  if (kind === 'not-found') return 'the source does not have it'
  return kind === 'unauthorized' || kind === 'denied' || kind === 'invalid'
    ? error.message
    : undefined
}

/** How long a source says to be left alone; `undefined`: it has failed, and may fail again. */
export function waitOf({
  failure,
}: SourceError): { readonly milliseconds: number; readonly why: string } | undefined {
  if (failure.kind === 'rate-limited' || failure.kind === 'limited-here') {
    return { milliseconds: failure.retryAfter * 1000, why: 'the source limits requests' }
  }
  if (failure.kind !== 'closed-here') return undefined
  return { milliseconds: CLOSED, why: 'an administrator has switched off that it is asked' }
}

/** What is not there, or not for us: nothing refers to it, then. */
export async function absent<Value>(asked: Promise<Value>): Promise<Value | undefined> {
  try {
    return await asked
  } catch (error) {
    if (permanent(error) === undefined) throw error
    return undefined
  }
}

/** That a tag stays what it is. */
export function fixed(tag: Tag, digest: Digest): ItemFailure {
  return new ItemFailure(`${tag} is ${digest} here, and may not be changed`)
}

/** That an image is not for a platform. */
export function lacking(missing: string, has: readonly string[]): ItemFailure {
  const list = has.length === 0 ? 'it names none' : `it has ${has.join(', ')}`
  return new ItemFailure(`there is no ${missing}: ${list}`)
}

/** Why a manifest was not taken. */
export function whyNot(answer: Extract<PushAnswer, { readonly ok: false }>): string {
  switch (answer.reason) {
    case 'invalid':
      return answer.why
    case 'digest':
      return 'the source sent other bytes'
    case 'missing':
      return `it names what is not there: ${answer.digests.slice(0, MAX_NAMED).join(', ')}`
    default:
      return answer satisfies never
  }
}
