// Reads a structured header field from left to right: the few productions that `WWW-Authenticate`
// and `Link` share. Each pattern is sticky and unambiguous, so a field is read in time linear in
// its length.

/* RFC 9110 §5.6.2: token = 1*tchar */
const TOKEN = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)/y

/* RFC 9110 §5.6.4: quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE */
const QUOTED = /"([^"\\]*(?:\\.[^"\\]*)*)"/y

/* What servers send where a token or a quoted-string should stand, such as a bare URL. */
const UNQUOTED = /([^\s,;"]+)/y

const WHITESPACE = /([ \t]*)/y
const LIST_SEPARATORS = /([ \t,]*)/y

/**
 * A position in a field. Methods that read advance it only when they return what they were asked
 * for.
 */
export class FieldScanner {
  readonly #text: string
  #position = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Whether everything has been read. */
  isAtEnd(): boolean {
    return this.#position === this.#text.length
  }

  /**
   * Skips whitespace and commas, since a list may have empty elements (RFC 9110 §5.6.1.2). Whether
   * an element can end here: a comma was among them, or nothing follows.
   */
  skipSeparators(): boolean {
    const separators = this.match(LIST_SEPARATORS)
    return separators?.includes(',') === true || this.isAtEnd()
  }

  /** Skips optional whitespace, then whether `character` is next; it is read if so. */
  accept(character: string): boolean {
    this.match(WHITESPACE)
    if (this.#text[this.#position] !== character) {
      return false
    }
    this.#position += 1
    return true
  }

  /** Reads a token after optional whitespace. */
  token(): string | undefined {
    this.match(WHITESPACE)
    return this.match(TOKEN)
  }

  /**
   * Reads the value of a parameter after optional whitespace, a quoted-string without its quoting.
   */
  value(): string | undefined {
    this.match(WHITESPACE)
    return this.match(QUOTED)?.replaceAll(/\\(.)/g, '$1') ?? this.match(UNQUOTED)
  }

  /** Reads what a sticky pattern with one group matches here, and returns the group. */
  match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position
    const match = pattern.exec(this.#text)
    if (match !== null) {
      this.#position = pattern.lastIndex
    }
    return match?.[1]
  }
}
