// Images that are always to be here, as administrators have said: never evicted, and refreshed before they are asked
// for. Kept by `Authority`; ledgers are told of them, and told again should they have forgotten.

/** Each costs a check of its upstream now and then, and a call to its ledger once a day. */
export const MAX_PINS = 500

const PINS = 'pin:'

/** An image that is pinned. */
export interface Pin {
  /** Its canonical name, with a tag or a digest. */
  readonly image: string
  /** The name of an account. */
  readonly by: string
  /** Milliseconds. */
  readonly at: number
  /** `undefined`: all. */
  readonly platforms: readonly string[] | undefined
}

/** Storage as `Authority` has it. */
interface PinStorage {
  get(key: string): unknown
  put(key: string, value: unknown): void
  delete(key: string): void
  list(prefix: string): Iterable<[string, unknown]>
}

/** Reads and writes pins. */
export class PinRecords {
  readonly #storage: PinStorage

  constructor(storage: PinStorage) {
    this.#storage = storage
  }

  /** All of them, in the order of their images. */
  list(): readonly Pin[] {
    return [...this.#storage.list(PINS)].map(([, pin]) => pin as Pin)
  }

  /** The pin of an image. */
  get(image: string): Pin | undefined {
    return this.#storage.get(PINS + image) as Pin | undefined
  }

  /** Keeps a pin, in the place of another of the image; not where there are too many. */
  put(pin: Pin): boolean {
    if (this.get(pin.image) === undefined && this.list().length >= MAX_PINS) return false
    this.#storage.put(PINS + pin.image, pin)
    return true
  }

  /** Whether there was one. */
  delete(image: string): boolean {
    if (this.get(image) === undefined) return false
    this.#storage.delete(PINS + image)
    return true
  }
}

/** Whether these are the same platforms, in whatever order. */
export function samePlatforms(
  one: readonly string[] | undefined,
  other: readonly string[] | undefined,
): boolean {
  return textOf(one) === textOf(other)
}

function textOf(platforms: readonly string[] | undefined): string | undefined {
  return platforms?.toSorted().join(' ')
}
