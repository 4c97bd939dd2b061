// The image that is looked at: the one that was named, else one that the registry has already, which costs its
// upstream nothing, else a small public one of an upstream in its table.

import type { Reference } from '../src/oci/reference.ts'
import { formatReference, parseReference } from '../src/oci/reference.ts'
import type { RepositoryName } from '../src/oci/repository-name.ts'
import { parseRepositoryName } from '../src/oci/repository-name.ts'
import { objectOf } from './doctor-answer.ts'
import type { Answer } from './doctor-answer.ts'

/** A repository and what in it. */
export interface Image {
  readonly repository: RepositoryName
  readonly reference: Reference
}

/** Small ones, with names that have been there for years. */
const SAMPLES: Readonly<Record<string, string>> = {
  'docker.io': 'docker.io/library/hello-world:latest',
  'registry.k8s.io': 'registry.k8s.io/pause:3.9',
  'mcr.microsoft.com': 'mcr.microsoft.com/hello-world:latest',
  'quay.io': 'quay.io/libpod/hello:latest',
  'public.ecr.aws': 'public.ecr.aws/docker/library/hello-world:latest',
}

/** Parses `<repository>[:<tag>][@<digest>]`; the host of the registry itself may stand before it. */
export function parseImage(text: string, registry?: URL): Image | undefined {
  const own = registry === undefined ? '' : `${registry.host}/`
  const name = own !== '' && text.startsWith(own) ? text.slice(own.length) : text
  const [, written = '', tag, digest] = /^([^:@]+)(?::([^:@]+))?(?:@(.+))?$/.exec(name) ?? []
  const repository = parseRepositoryName(written)
  const reference = parseReference(digest ?? tag ?? 'latest')
  return repository && reference && { repository, reference }
}

/** As people write it. */
export function formatImage({ repository, reference }: Image): string {
  const sign = reference.kind === 'digest' ? '@' : ':'
  return `${repository}${sign}${formatReference(reference)}`
}

/** A repository of the catalog: a mirrored one before one of its own, since then the upstream is in play. */
export function pickRepository(catalog: Answer): RepositoryName | undefined {
  const names = listOf(catalog, 'repositories')
  const name = names.find((each) => each.split('/')[0]?.includes('.')) ?? names[0]
  return name === undefined ? undefined : parseRepositoryName(name)
}

/** A tag of a repository. */
export function pickTag(tags: Answer): Reference | undefined {
  const names = listOf(tags, 'tags')
  const name = names.includes('latest') ? 'latest' : names.at(-1)
  return name === undefined ? undefined : parseReference(name)
}

/** A public image of one of the upstreams; of Docker Hub where the table is not known. */
export function sampleOf(hosts: readonly string[]): Image | undefined {
  const known = hosts.length === 0 ? ['docker.io'] : Object.keys(SAMPLES)
  const host = known.find((each) => hosts.length === 0 || hosts.includes(each))
  return host === undefined ? undefined : parseImage(SAMPLES[host] ?? '')
}

function listOf(answer: Answer, key: string): readonly string[] {
  if (answer.kind === 'unanswered' || answer.status !== 200) return []
  const list = objectOf(answer)?.[key]
  return Array.isArray(list)
    ? list.filter((each: unknown): each is string => typeof each === 'string')
    : []
}
