// What is to be purged: a tag, a manifest, a repository or a whole host of what is mirrored. A host that is configured no
// more, and a repository that may be mirrored no more, can be purged too: what is left of them is what is to go.

import type { Config } from '../config.ts'
import { resolveAddress } from '../oci/address.ts'
import { RegistryError } from '../oci/error.ts'
import type { Reference } from '../oci/reference.ts'
import { parseRepositoryName } from '../oci/repository-name.ts'
import { canonicalName } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import { formatImageName, splitName } from './image-name.ts'
import { OrderError } from './job.ts'
import type { JobOrder } from './job.ts'

/** What is to go. */
export type PurgeTarget =
  | { readonly scope: 'host'; readonly host: string }
  | { readonly scope: 'repository'; readonly name: MirroredName }
  | { readonly scope: 'image'; readonly name: MirroredName; readonly reference: Reference }

const FORM =
  'expected a tag ("docker.io/library/nginx:1.29"), a digest ("…/nginx@sha256:…"), a repository ("docker.io/library/nginx") or a host ("docker.io")'
const HOSTED =
  'this is hosted here, and a purge is for what is mirrored: delete it by DELETE /v2/<name>/manifests/<tag or digest>, e.g. with regctl tag delete'

/** Reads `{ target }`. @throws {OrderError} */
export function parsePurge(
  { target: text, ...rest }: Readonly<Record<string, unknown>>,
  config: Pick<Config, 'table'>,
): JobOrder {
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) {
    throw new OrderError(unknown, 'expected target and nothing else, found an unknown key')
  }
  if (text === undefined) throw new OrderError('target', FORM, true)
  const target = typeof text === 'string' ? parseTarget(text, config) : undefined
  if (target === undefined) throw new OrderError('target', FORM)
  return { kind: 'purge', title: titleOf(target), state: { target } }
}

/** What is purged, as everybody is told of it. */
export function scopeOf(target: PurgeTarget): string {
  return target.scope === 'host' ? target.host : canonicalName(target.name)
}

function parseTarget(text: string, { table }: Pick<Config, 'table'>): PurgeTarget | undefined {
  const upstream = table.upstreams.get(text.toLowerCase())
  if (upstream !== undefined) return { scope: 'host', host: upstream.host }
  if (!text.includes('/') && looksLikeHost(text)) return { scope: 'host', host: text.toLowerCase() }
  const { written, reference } = splitName(text)
  if (reference === 'invalid') return undefined
  const name = nameOf(written, table)
  if (name === undefined) return undefined
  return reference === undefined
    ? { scope: 'repository', name }
    : { scope: 'image', name, reference }
}

/** As requests have it, but also of a host that is not in the table. @throws {OrderError} of what is hosted. */
function nameOf(written: string, table: Config['table']): MirroredName | undefined {
  try {
    const address = resolveAddress({ name: written, base: undefined, ns: [] }, table)
    if (address.kind === 'hosted') throw new OrderError('target', HOSTED)
    return { host: address.host, repository: address.repository }
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    const [first = '', ...rest] = written.split('/')
    const repository = parseRepositoryName(rest.join('/'))
    if (repository === undefined || !looksLikeHost(first)) return undefined
    return { host: first.toLowerCase(), repository }
  }
}

/** `localhost`, a name with a dot, or a port: as clients tell a host from the beginning of a repository's name. */
function looksLikeHost(text: string): boolean {
  return /^(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|\[[0-9a-f:]+\])(?::\d{1,5})?$|^[A-Za-z0-9-]+:\d{1,5}$/.test(
    text,
  )
}

function titleOf(target: PurgeTarget): string {
  if (target.scope === 'host') return `everything of ${target.host}`
  return formatImageName({
    name: target.name,
    reference: target.scope === 'image' ? target.reference : undefined,
  })
}
