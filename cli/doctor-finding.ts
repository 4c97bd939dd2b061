// What the doctor finds: one line for each check, and for what is wrong a sentence that says what it means and
// what to do about it.

/** What is looked at, in the order in which it is printed. */
export type Check =
  | 'reachable'
  | 'registry'
  | 'challenge'
  | 'anonymous token'
  | 'account token'
  | 'upstreams'
  | 'manifest GET'
  | 'manifest HEAD'
  | 'blob HEAD'
  | 'blob GET'
  | 'blob range'
  | 'redirect'
  | 'push'

/** What came of a check. */
export interface Finding {
  readonly check: Check
  readonly state: 'ok' | 'warning' | 'problem' | 'not checked'
  /** What was seen; of what was not checked, why. */
  readonly says: string
  /** What it means and what to do; there for every warning and problem. */
  readonly advice?: string
}

/** What is wrong, wherever it was seen. */
export interface Trouble {
  readonly says: string
  readonly advice: string
}

/** As it should be. */
export function fine(check: Check, says: string): Finding {
  return { check, state: 'ok', says }
}

/** Works, and will surprise somebody. */
export function warning(check: Check, { says, advice }: Trouble): Finding {
  return { check, state: 'warning', says, advice }
}

/** Does not work. */
export function problem(check: Check, { says, advice }: Trouble): Finding {
  return { check, state: 'problem', says, advice }
}

/** Nothing is known of it, and why. */
export function unchecked(check: Check, why: string): Finding {
  return { check, state: 'not checked', says: why }
}
