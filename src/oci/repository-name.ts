// The grammar of repository names (`<name>` in the spec). Which registry a name belongs to is
// address.ts's question; here a name has no host.

declare const brand: unique symbol

/**
 * A valid `<name>`: safe as part of a storage key, because the grammar has no `..`, `%`, `:` or
 * empty component.
 */
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' }

/** Clients cap `host/name` at 255 characters (distribution-spec v1.1.1, "Pulling manifests"). */
const MAX_LENGTH = 255

/*
 * distribution-spec v1.1.1, "Pulling manifests":
 *   name      ::= component *( "/" component )
 *   component ::= alnum *( separator alnum )
 *   alnum     ::= 1*[a-z0-9]
 *   separator ::= "." | "_" | "__" | 1*"-"
 * Separators and alnum share no character, so each position has one reading and matching is linear.
 */
const COMPONENT = '[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*'
const NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)

/** Parses a name as the grammar has it: no trimming, no case folding, no percent-decoding. */
export function parseRepositoryName(text: string): RepositoryName | undefined {
  return isRepositoryName(text) ? text : undefined
}

function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= MAX_LENGTH && NAME.test(text)
}
