// An answer of the admin API, read member by member: whatever answered may be no registry, or one of another version.

import { Failure } from './failure.ts'

/** The members of a JSON object. */
export type Members = Readonly<Record<string, unknown>>

/** What answered has another idea of this API. */
export class StrangeAnswer extends Failure {
  override readonly name = 'StrangeAnswer'

  constructor(origin: string) {
    super(`${origin} gave an answer that no registry of this kind gives`)
  }
}

/** A JSON object of an answer, or one within it. */
export class Answer {
  /** As it came: what programs get. */
  readonly json: Members
  readonly #origin: string

  constructor(json: Members, origin: string) {
    this.json = json
    this.#origin = origin
  }

  /** @throws {StrangeAnswer} where it is no text. */
  text(key: string): string {
    return this.optionalText(key) ?? this.#refuse()
  }

  /** A text that may be left out. @throws {StrangeAnswer} */
  optionalText(key: string): string | undefined {
    const value = this.json[key]
    if (value === undefined || value === null) return undefined
    return typeof value === 'string' ? value : this.#refuse()
  }

  /** @throws {StrangeAnswer} where it is no number. */
  number(key: string): number {
    return this.optionalNumber(key) ?? this.#refuse()
  }

  /** A number that may be left out. @throws {StrangeAnswer} */
  optionalNumber(key: string): number | undefined {
    const value = this.json[key]
    if (value === undefined || value === null) return undefined
    return typeof value === 'number' ? value : this.#refuse()
  }

  /** Whether it is `true`; a member that is left out is not. */
  isTrue(key: string): boolean {
    return this.json[key] === true
  }

  /** The object behind a key. @throws {StrangeAnswer} where there is none. */
  member(key: string): Answer {
    return this.optionalMember(key) ?? this.#refuse()
  }

  /** An object that may be left out. @throws {StrangeAnswer} */
  optionalMember(key: string): Answer | undefined {
    const value = this.json[key]
    return value === undefined || value === null ? undefined : this.#within(value)
  }

  /** The objects of a list. @throws {StrangeAnswer} where it is none. */
  list(key: string): readonly Answer[] {
    return this.#array(key).map((value) => this.#within(value))
  }

  /** The texts of a list; of one that is left out, none. @throws {StrangeAnswer} */
  texts(key: string): readonly string[] {
    if (this.json[key] === undefined) return []
    return this.#array(key).map((value) => (typeof value === 'string' ? value : this.#refuse()))
  }

  /** The numbers of a list; of one that is left out, none. @throws {StrangeAnswer} */
  numbers(key: string): readonly number[] {
    if (this.json[key] === undefined) return []
    return this.#array(key).map((value) => (typeof value === 'number' ? value : this.#refuse()))
  }

  /** The members that are texts or numbers, by name. */
  figures(): Readonly<Record<string, string | number>> {
    return Object.fromEntries(
      Object.entries(this.json).filter((entry): entry is [string, string | number] =>
        ['string', 'number'].includes(typeof entry[1]),
      ),
    )
  }

  #array(key: string): readonly unknown[] {
    const value = this.json[key]
    return Array.isArray(value) ? value : this.#refuse()
  }

  #within(value: unknown): Answer {
    if (typeof value !== 'object' || value === null) return this.#refuse()
    return new Answer({ ...value }, this.#origin)
  }

  #refuse(): never {
    throw new StrangeAnswer(this.#origin)
  }
}
