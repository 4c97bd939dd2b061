// A part of a page that comes from an object or from storage. While that is away the rest of the page is still shown.

import { inTime } from '../../storage/in-time.ts'
import type { Visit } from '../authenticate.ts'

/** A page waits no longer for one of its parts (milliseconds). */
const WITHIN = 5000

/** What was asked for, or that it could not be had. */
export type Part<Value> =
  | { readonly isHere: true; readonly value: Value }
  | { readonly isHere: false }

/** Asks for a part. Never rejects. */
export async function askFor<Value>(
  { services, exchange }: Visit,
  question: () => Promise<Value>,
): Promise<Part<Value>> {
  try {
    return { isHere: true, value: await inTime(question(), WITHIN, 'a part of a page is late') }
  } catch (error) {
    const { id, endpoint } = exchange
    services.seams.log('page-part-away', { id, endpoint, reason: String(error) })
    return { isHere: false }
  }
}
