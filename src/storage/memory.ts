// A bounded, least-recently-used map: the one state that an isolate keeps between requests. It holds
// copies of what is stored elsewhere, so anything in it may go at any time.

interface Entry<Value> {
  readonly value: Value
  readonly size: number
  readonly until: number
}

/** Keeps values until their time is over or `limit` is exceeded, whichever comes first. */
export class Memory<Value> {
  readonly #entries = new Map<string, Entry<Value>>()
  readonly #limit: number
  #size = 0

  /** `limit` is in the unit of the sizes given to `put`: bytes, or entries where every size is 1. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** The value, if it is still held and its time is not over at `now` (milliseconds). */
  get(key: string, now: number): Value | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    if (entry.until <= now) {
      this.#size -= entry.size
      return undefined
    }
    this.#entries.set(key, entry)
    return entry.value
  }

  /** Holds `value` until `until` (milliseconds), at the cost of the values least recently used. */
  put(key: string, value: Value, options: { readonly size: number; readonly until: number }): void {
    this.delete(key)
    if (options.size > this.#limit) return
    this.#entries.set(key, { value, ...options })
    this.#size += options.size
    for (const oldest of this.#entries.keys()) {
      if (this.#size <= this.#limit) return
      this.delete(oldest)
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.clear()
    this.#size = 0
  }

  /** Forgets the values of all keys of which that is true. */
  deleteAll(isMeant: (key: string) => boolean): void {
    for (const key of [...this.#entries.keys()].filter(isMeant)) this.delete(key)
  }

  /** Forgets the value. */
  delete(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#size -= entry.size
  }
}
