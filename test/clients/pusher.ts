// What a client of the push rows is: it makes something of its own, pushes it, pulls it back into an empty store and
// compares, and deletes it, by the commands that it has for that.

import type { Login } from './account.ts'
import type { RecordedRequest } from './recorder.ts'

/** The registry under test; clients that need it are told to speak http. */
export interface Target {
  readonly url: string
  /** `127.0.0.1:<port>`, as it stands in image names. */
  readonly host: string
}

/** The tag under which everything is pushed: a version that helm takes too. */
export const TAG = '1.0.0'

/** A repository and what a row needs to look closer at it. */
export interface Place {
  readonly target: Target
  readonly repository: string
  /** `<host>/<repository>:<TAG>`. */
  readonly reference: string
  /** Requests about the repository's blobs so far. */
  readonly requests: () => readonly RecordedRequest[]
}

/** A row that one client alone has. */
export interface PusherRow {
  readonly name: string
  /** Gets a repository of its own; what it returns is printed beside its name. */
  readonly action: (place: Place) => Promise<string | void>
}

/** A client that pushes. References are `<host>/<repository>:<TAG>`. */
export interface Pusher {
  readonly name: string
  /** Pushes and returns the digest that, as the client knows, the tag now has. */
  readonly push: (reference: string) => Promise<string>
  /** Pulls into an empty store, and fails unless what arrived is what was pushed. */
  readonly pull: (reference: string) => Promise<void>
  /** Runs a container from what was pulled last, and fails unless it prints the image's line. */
  readonly run?: () => Promise<void>
  /** Brings what it has pushed to a second repository of the same registry; absent: it knows no mount. */
  readonly copy?: (source: string, target: string) => Promise<void>
  /** Deletes what the reference names; absent: it has no command for that. */
  readonly remove?: (reference: string) => Promise<void>
  /** Logs in to a host, or tells the client whom to be there; some find out only later that they may not. */
  readonly login?: (host: string, login: Login) => Promise<void>
  /** Forgets the login. */
  readonly logout?: (host: string) => Promise<void>
  readonly more?: readonly PusherRow[]
}
