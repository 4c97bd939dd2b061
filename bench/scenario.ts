// A scenario: what is prepared once, and what is then done to everybody who is measured.

import type { Row } from './row.ts'
import type { Stage } from './stage.ts'
import type { Subject } from './subject.ts'

/** One or several rows that belong together. */
export interface Scenario<Kind extends Subject = Subject, Measured extends Row = Row> {
  /** What `--only` takes. */
  readonly name: string
  readonly about: string
  /** Why the reference registry takes no part, if it does not. */
  readonly withoutPeer?: string
  /** Puts content into the upstream; what is returned measures one subject, which has no state yet. */
  readonly prepare: (stage: Stage) => Promise<(subject: Kind) => Promise<readonly Measured[]>>
}

/** Decimal, as links and layers are talked about. */
export const MB = 1_000_000
/** Binary, as blobs of the rows are. */
export const MIB = 1024 * 1024
