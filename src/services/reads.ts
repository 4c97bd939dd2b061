// Composition of what is noted of reads: from the isolate that has answered to the ledger of the repository.

import type { Address } from '../oci/address.ts'
import type { Seams } from '../seams.ts'
import { inTime } from '../storage/in-time.ts'
import { canonicalName } from '../storage/keys.ts'
import { ReadNotes } from '../storage/reads.ts'
import type { Read, ReadFrom, Reads } from '../storage/reads.ts'

/** The reads of one pull come one after the other, and are told at once (milliseconds). */
const GATHER = 2000
/** A ledger has so long (milliseconds). */
const WITHIN = 10_000

/** What an isolate has noted. */
export type ReadMemory = ReadNotes<Address>

/** An isolate that has noted nothing. */
export function readMemory(): ReadMemory {
  return new ReadNotes<Address>()
}

/** Notes what clients have read. */
export class ReadServices {
  readonly #env: Env
  readonly #seams: Seams
  readonly #notes: ReadMemory

  constructor(given: { readonly env: Env; readonly seams: Seams; readonly memory: ReadMemory }) {
    this.#env = given.env
    this.#seams = given.seams
    this.#notes = given.memory
  }

  /** Something was read well, by GET or HEAD. */
  note(of: Address, read: Read): void {
    const from = { key: `${of.kind} ${of.canonical}`, of }
    const due = this.#notes.note(from, read, this.#seams.now())
    for (const each of due) this.#seams.defer(this.#tell(each))
  }

  async #tell(from: ReadFrom<Address>): Promise<void> {
    const { now, log } = this.#seams
    await scheduler.wait(GATHER)
    const reads = this.#notes.take(from.key)
    if (reads === undefined) return
    try {
      await inTime(this.#send(from.of, reads), WITHIN, 'the ledger does not answer')
    } catch (error) {
      this.#notes.giveBack(from, reads, now())
      log('reads-not-told', { repository: from.of.canonical, reason: String(error) })
    }
  }

  async #send(of: Address, reads: Reads): Promise<void> {
    const { MIRROR_LEDGER, HOSTED_LEDGER } = this.#env
    if (of.kind === 'hosted') {
      return HOSTED_LEDGER.getByName(of.repository).read(of.repository, reads)
    }
    const name = { host: of.host, repository: of.repository }
    return MIRROR_LEDGER.getByName(canonicalName(name)).read(name, reads)
  }
}
