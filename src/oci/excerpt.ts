// What is shown of a text, a list or a map that a stranger wrote: never more than somebody would look at. It notes
// whether there was more.

import { isJSONObject } from './json-object.ts'

/** Characters of one text, and items of one list or map. */
const MAX_TEXT = 2000
const MAX_ITEMS = 200

/** Takes parts of one document. */
export class Excerpt {
  #isCut = false

  /** Whether anything was longer than what was taken of it. */
  get isCut(): boolean {
    return this.#isCut
  }

  /** A text; an empty one says nothing, as Go writes it. */
  text(value: unknown): string | undefined {
    return typeof value === 'string' && value !== '' ? this.short(value) : undefined
  }

  /** The texts of a list. */
  texts(value: unknown): readonly string[] {
    const texts = Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
    return this.some(texts).map((text) => this.short(text))
  }

  /** The keys of a set, as Go writes one. */
  keys(value: unknown): readonly string[] {
    return this.texts(isJSONObject(value) ? Object.keys(value) : [])
  }

  /** The texts of a map. */
  map(value: unknown): Readonly<Record<string, string>> {
    const texts = Object.entries(isJSONObject(value) ? value : {}).flatMap(([key, text]) =>
      typeof text === 'string' ? [[key, text] as const] : [],
    )
    const shown = this.some(texts).map(([key, text]) => [this.short(key), this.short(text)])
    return Object.fromEntries(shown)
  }

  /** A text that is there. */
  short(text: string): string {
    if (text.length <= MAX_TEXT) return text
    this.#isCut = true
    return text.slice(0, MAX_TEXT)
  }

  /** The first items of a list. */
  some<Item>(items: readonly Item[], most: number = MAX_ITEMS): readonly Item[] {
    if (items.length > most) this.#isCut = true
    return items.slice(0, most)
  }
}
