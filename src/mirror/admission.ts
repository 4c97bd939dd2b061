// The right of a request to cause upstream work that nothing known here calls for: the first pull of a
// name, of a blob, or of a list. Who is refused may still have, and join, whatever others have caused.

import type { UpstreamFailure } from '../upstream/error.ts'

/**
 * Whether a request may cause upstream work. If not: `retryAfter` is when it may try again (seconds), `undefined`
 * that its caller may only read what is here, and `closed` that nobody may cause any.
 */
export type Admission =
  | { readonly ok: true }
  | { readonly ok: false; readonly retryAfter: number | 'closed' | undefined }

/** Asks for admission, which counts: a request asks once at most, and only when it needs it. Never rejects. */
export type Admit = () => Promise<Admission>

/** Why a mirrored repository gives no answer: the upstream does not, or this registry does not ask it. */
export type MirrorFailure = UpstreamFailure | LimitedHere | ClosedHere

/** This caller has caused enough upstream work for now; `retryAfter` is in seconds. */
interface LimitedHere {
  readonly kind: 'limited-here'
  readonly retryAfter: number
}

/** An administrator has switched off that the upstream is asked. */
interface ClosedHere {
  readonly kind: 'closed-here'
}

/** The answer to a request that was not admitted. What its caller may not fetch does not exist for it. */
export interface Refused {
  readonly ok: false
  readonly failure: LimitedHere | ClosedHere | { readonly kind: 'not-found' }
}

/** The admission of one request. */
export class RequestAdmission {
  readonly #admit: Admit
  #asked: Promise<Admission> | undefined

  constructor(admit: Admit) {
    this.#admit = admit
  }

  /** What to answer instead of causing upstream work; `undefined`: it may. */
  async refusal(): Promise<Refused | undefined> {
    this.#asked ??= this.#admit()
    const admission = await this.#asked
    if (admission.ok) return undefined
    return { ok: false, failure: refusalFor(admission.retryAfter) }
  }

  /** Asks for what is known, and only if that is nothing, and the request is admitted, for the rest. */
  async ask<Answer>(
    known: () => Promise<Answer | undefined>,
    anew: () => Promise<Answer>,
  ): Promise<Answer | Refused> {
    return (await known()) ?? (await this.refusal()) ?? anew()
  }
}

function refusalFor(retryAfter: number | 'closed' | undefined): Refused['failure'] {
  if (retryAfter === undefined) return { kind: 'not-found' }
  return retryAfter === 'closed' ? { kind: 'closed-here' } : { kind: 'limited-here', retryAfter }
}
