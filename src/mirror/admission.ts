// The right of a request to cause upstream work that nothing known here calls for: the first pull of a
// name, of a blob, or of a list. Who is refused may still have, and join, whatever others have caused.

import type { UpstreamFailure } from '../upstream/error.ts'

/**
 * Whether a request may cause upstream work. If not: `retryAfter` is when it may try again (seconds), and
 * `undefined` that its caller may only read what is here.
 */
export type Admission =
  | { readonly ok: true }
  | { readonly ok: false; readonly retryAfter: number | undefined }

/** Asks for admission, which counts: a request asks once at most, and only when it needs it. Never rejects. */
export type Admit = () => Promise<Admission>

/** Why a mirrored repository gives no answer: the upstream does not, or this registry does not ask it. */
export type MirrorFailure = UpstreamFailure | LimitedHere

/** This caller has caused enough upstream work for now; `retryAfter` is in seconds. */
interface LimitedHere {
  readonly kind: 'limited-here'
  readonly retryAfter: number
}

/** The answer to a request that was not admitted. What its caller may not fetch does not exist for it. */
export interface Refused {
  readonly ok: false
  readonly failure: LimitedHere | { readonly kind: 'not-found' }
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
    const { retryAfter } = admission
    const failure =
      retryAfter === undefined
        ? ({ kind: 'not-found' } as const)
        : ({ kind: 'limited-here', retryAfter } as const)
    return { ok: false, failure }
  }

  /** Asks for what is known, and only if that is nothing, and the request is admitted, for the rest. */
  async ask<Answer>(
    known: () => Promise<Answer | undefined>,
    anew: () => Promise<Answer>,
  ): Promise<Answer | Refused> {
    return (await known()) ?? (await this.refusal()) ?? anew()
  }
}
