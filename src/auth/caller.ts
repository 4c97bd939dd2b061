// Who sends a request, once that is known. What each may do is policy.ts's question.

import type { Grant } from './account.ts'
import type { Access } from './token.ts'

/** Whoever sends a request: nobody in particular, by a secret, or by a token that was signed here. */
export type Caller =
  | { readonly kind: 'anonymous' }
  | {
      readonly kind: 'account' | 'capability'
      readonly name: string
      readonly grants: readonly Grant[]
    }
  | { readonly kind: 'token'; readonly name: string; readonly access: readonly Access[] }
