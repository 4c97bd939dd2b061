// Composition of the state behind one `MirrorLedger`. What asks the upstream is made when it is needed: what is here of
// an upstream that is not configured any more can still be looked at and forgotten.

import { ForgetRecords } from '../mirror/forget-records.ts'
import { Forgetter } from '../mirror/forgetter.ts'
import { InventoryRecords } from '../mirror/inventory-records.ts'
import { Ledger } from '../mirror/ledger.ts'
import { Listings } from '../mirror/listings.ts'
import { ManifestKeeper } from '../mirror/manifest-keeper.ts'
import { Marker } from '../mirror/marker.ts'
import { Records } from '../mirror/records.ts'
import { Rows } from '../mirror/rows.ts'
import { Stock } from '../mirror/stock.ts'
import { UnreadManifests } from '../mirror/unread-manifests.ts'
import type { Seams } from '../seams.ts'
import { Hints } from '../storage/hints.ts'
import type { MirroredName } from '../storage/keys.ts'
import { ManifestStore } from '../storage/manifests.ts'
import { RepositoryMarkers } from '../storage/repositories.ts'
import type { UpstreamClient } from '../upstream/client.ts'

/** What the state of a ledger is made of. */
export interface LedgerStateGiven {
  readonly name: MirroredName
  readonly storage: DurableObjectStorage
  readonly env: Env
  readonly seams: Seams
  /** @throws where the upstream is not configured. */
  readonly client: () => UpstreamClient
}

/** Everything behind one ledger. */
export interface LedgerState {
  readonly records: Records
  readonly stock: Stock
  readonly forgetter: Forgetter
  /** These throw where the upstream is not configured. */
  readonly ledger: Ledger
  readonly listings: Listings
}

/** Makes the state of a ledger. */
export function openLedger(given: LedgerStateGiven): LedgerState {
  const { name, storage, env, seams, client } = given
  const rows = new Rows(storage)
  const records = new Records(rows)
  const inventory = new InventoryRecords(rows)
  const manifests = new ManifestStore(env.BLOBS)
  const marker = new Marker({ name, rows, storage, markers: new RepositoryMarkers(env.BLOBS) })
  const hints = new Hints(env.HINTS, seams.log)
  const keeper = { name, records, manifests, marker, hints, ...seams }
  const kept = new ManifestKeeper(keeper)
  const unread = new UnreadManifests({ name, records, inventory, manifests, now: seams.now })
  let ledger: Ledger | undefined
  let listings: Listings | undefined
  const state = {
    records,
    stock: new Stock({ records: inventory, unread, marker }),
    forgetter: new Forgetter({
      records: new ForgetRecords(rows, inventory),
      inventory,
      unread,
      kept,
      marker,
      clear: () => listings?.clear(),
      now: seams.now,
    }),
    get ledger(): Ledger {
      ledger ??= new Ledger({ ...keeper, kept, client: client() })
      return ledger
    },
    get listings(): Listings {
      const { now } = seams
      listings ??= new Listings({ name, client: client(), records, ledger: state.ledger, now })
      return listings
    },
  }
  return state
}
