// What is here, for people: repositories, the images of one, and one image.

import { isImageConfig } from '../src/oci/image-config.ts'
import type { Answer } from './admin-answer.ts'
import { formatBytes, formatTime } from './quantity.ts'
import { formatTable, plain } from './table.ts'

/** Enough of a digest for people to tell it from others. */
const SHORT = 12
/** Characters of a step of a history that are shown. */
const STEP = 100

/** A line for each repository. */
export function formatRepositories(repositories: readonly Answer[]): string {
  if (repositories.length === 0) return 'There is nothing.'
  const rows = repositories.map((each) => [
    each.text('name'),
    each.text('kind'),
    count(each, 'tags'),
    count(each, 'manifests'),
    size(each, 'bytes'),
    formatTime(each.optionalText('firstSeen')),
    formatTime(each.optionalText('lastPull')),
    String(pullsOf(each)),
  ])
  const head = ['name', 'kind', 'tags', 'manifests', 'size', 'first seen', 'last pull', 'pulls']
  return formatTable([head, ...rows])
}

/** A repository, its pulls by day and its images. */
export function formatRepository(repository: Answer, images: readonly Answer[]): string {
  const facts = [
    ['name', repository.text('name')],
    ['kind', repository.text('kind')],
    ['size', size(repository, 'bytes')],
    ['first seen', formatTime(repository.optionalText('firstSeen'))],
    ['last pull', formatTime(repository.optionalText('lastPull'))],
    ['pulls', formatPulls(repository)],
  ]
  // Only where there is something else than images.
  const isMixed = images.some((image) => artifactTypeOf(image) !== undefined)
  const rows = images.map((image) => [
    short(image.text('digest')),
    image.texts('tags').join(' ') || '-',
    ...(isMixed ? [artifactTypeOf(image) ?? '-'] : []),
    image.texts('platforms').join(' ') || '-',
    size(image, 'size'),
    formatTime(image.optionalText('lastRead')),
    image.isTrue('isPinned') ? 'pinned' : '',
  ])
  const type = isMixed ? ['artifact type'] : []
  const head = ['digest', 'tags', ...type, 'platforms', 'size', 'last read', '']
  const table = formatTable([head, ...rows])
  return [formatTable(facts), ...(rows.length === 0 ? [] : ['', table])].join('\n')
}

/** An image: what it is, platforms, layers, history and what refers to it. */
export function formatManifest(manifest: Answer): string {
  const config = manifest.optionalMember('config')
  const artifactType = artifactTypeOf(manifest)
  const facts = [
    ['digest', manifest.text('digest')],
    ['type', manifest.text('mediaType')],
    ...(artifactType === undefined ? [] : [['artifact type', artifactType]]),
    ['tags', manifest.texts('tags').join(' ') || '-'],
    ['size', size(manifest, 'size')],
    ['pinned', manifest.isTrue('isPinned') ? 'yes' : 'no'],
    ...factsOf(config),
    ...commandOf(config),
  ]
  const parts = [
    formatTable(facts),
    section('platforms', manifest.list('platforms'), (each) => [
      each.optionalText('platform') ?? (each.isTrue('isAttestation') ? 'attestation' : '?'),
      each.text('digest'),
      size(each, 'size'),
      presence(each),
    ]),
    section('layers', manifest.list('layers'), (each) => [
      each.text('digest'),
      size(each, 'size'),
      each.optionalText('title') ?? each.text('mediaType'),
      presence(each),
    ]),
    section('history', manifest.list('history'), (each) => [
      formatTime(each.optionalText('created')),
      cut(each.optionalText('createdBy') ?? each.optionalText('comment') ?? ''),
    ]),
    section('referrers', manifest.list('referrers'), (each) => [
      each.text('digest'),
      each.isTrue('isSignature') ? 'signature' : '',
      each.optionalText('artifactType') ?? each.optionalText('tag') ?? '',
      size(each, 'size'),
    ]),
    manifest.isTrue('isCut') ? '… and more than is shown' : '',
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}

function section(
  name: string,
  items: readonly Answer[],
  rowOf: (item: Answer) => readonly string[],
): string {
  if (items.length === 0) return ''
  const lines = formatTable(items.map(rowOf)).split('\n')
  return [name, ...lines.map((line) => `  ${line}`)].join('\n')
}

/** What it is if it is no image: where a manifest does not say, the type of its configuration stands for it. */
function artifactTypeOf(image: Answer): string | undefined {
  const type = image.optionalText('artifactType')
  return type === undefined || isImageConfig(type) ? undefined : type
}

function factsOf(config: Answer | undefined): readonly (readonly string[])[] {
  return [
    ['created', formatTime(config?.optionalText('created'))],
    ['author', config?.optionalText('author') ?? '-'],
    ['platform', config?.optionalText('platform') ?? '-'],
  ].filter(([, value]) => value !== '-')
}

/** What a container of it would run. */
function commandOf(config: Answer | undefined): readonly (readonly [string, string])[] {
  const words = [...(config?.texts('entrypoint') ?? []), ...(config?.texts('cmd') ?? [])]
  return words.length === 0 ? [] : [['command', cut(words.join(' '))]]
}

function pullsOf(repository: Answer): number {
  return repository.list('pulls').reduce((sum, day) => sum + day.number('pulls'), 0)
}

/** Of days, the newest first. */
function formatPulls(repository: Answer): string {
  const days = repository
    .list('pulls')
    .map((each) => [each.text('day'), each.number('pulls')] as const)
  const newest = days.toSorted(([one], [other]) => other.localeCompare(one))
  return newest.map(([day, pulls]) => `${day}: ${pulls}`).join(', ') || '-'
}

function presence(item: Answer): string {
  return item.json['isHere'] === false ? 'not here' : ''
}

function count(item: Answer, key: string): string {
  const value = item.optionalNumber(key)
  return value === undefined ? '?' : String(value)
}

function size(item: Answer, key: string): string {
  const bytes = item.optionalNumber(key)
  return bytes === undefined ? '?' : formatBytes(bytes)
}

function short(digest: string): string {
  return digest.slice(0, digest.indexOf(':') + 1 + SHORT)
}

function cut(text: string): string {
  const line = plain(text).replace(/ +/g, ' ')
  return line.length <= STEP ? line : `${line.slice(0, STEP - 1)}…`
}
