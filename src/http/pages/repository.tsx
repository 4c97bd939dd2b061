// One repository: its images with their tags, platforms and sizes.

import type { ImageLine, RepositoryPage } from '../../registry/image.ts'
import { Moment, Pages, Table } from './elements.tsx'
import { NOTHING, formatBytes, formatMany, shortDigest } from './format.ts'
import { imagePath } from './images.tsx'
import { Spark } from './plot.tsx'
import { Pulls } from './pulls.tsx'
import type { Place } from './snippets.ts'

/** Tags, and platforms, of one row. */
const MAX_TAGS = 12
const MAX_PLATFORMS = 8

/** Shows it. */
export function RepositoryView({
  page,
  now,
  isFirst,
  place,
}: {
  readonly page: RepositoryPage
  readonly now: number
  readonly isFirst: boolean
  readonly place: Pick<Place, 'origin' | 'host'>
}) {
  const { name, kind, tags, bytes, images, next } = page
  const tag = images.flatMap((image) => image.tags)[0]
  return (
    <>
      <p class="crumbs">
        <a href="/_/images">Images</a>
      </p>
      <div class="head">
        <h1>{name}</h1>
        <p>
          {kind}
          {tags !== undefined && ` · ${formatMany(tags, 'tag')}`}
          {bytes !== undefined && ` · ${formatBytes(bytes)}`}
        </p>
      </div>
      <Facts page={page} now={now} />
      <section>
        <h2>Images</h2>
        {images.length === 0 ? (
          <p class="panel empty">No image is here{!isFirst && ' beyond that'}.</p>
        ) : (
          <Table
            isDense
            label="Images"
            columns={[
              { name: 'Image' },
              { name: 'Platforms' },
              { name: 'Size', isNumber: true },
              { name: 'First seen', isNumber: true },
              { name: 'Last read', isNumber: true },
            ]}
            rows={images.map((image) => rowOf(name, image, now))}
          />
        )}
        <Pages
          {...(!isFirst && { first: imagePath(name) })}
          next={next && `${imagePath(name)}?last=${encodeURIComponent(next)}`}
        />
      </section>
      {tag !== undefined && <Pulls place={place} name={name} reference={tag} />}
    </>
  )
}

function Facts({ page, now }: { readonly page: RepositoryPage; readonly now: number }) {
  const { firstSeen, lastPull, pulls } = page
  return (
    <dl class="facts panel">
      <dt>First seen</dt>
      <dd>
        <Moment at={firstSeen} now={now} />
      </dd>
      <dt>Last pull</dt>
      <dd>
        <Moment at={lastPull} now={now} />
      </dd>
      <dt>Pulls, 30 days</dt>
      <dd>
        <Spark pulls={pulls} now={now} />
      </dd>
    </dl>
  )
}

function rowOf(name: string, image: ImageLine, now: number) {
  const { digest, tags, platforms, size, artifactType, isPinned, subject, firstSeen, lastRead } =
    image
  const shownTags = tags.slice(0, MAX_TAGS)
  const shownPlatforms = platforms.slice(0, MAX_PLATFORMS)
  return [
    <>
      {shownTags.map((tag) => (
        <a class="tag" href={imagePath(name, tag)}>
          {tag}
        </a>
      ))}
      {tags.length > MAX_TAGS && <small>and {tags.length - MAX_TAGS} more </small>}
      <div>
        <a href={imagePath(name, digest)}>
          <code>{shortDigest(digest)}</code>
        </a>
        {isPinned && <small class="ok"> pinned</small>}
        {subject !== undefined && <small> refers to {shortDigest(subject)}</small>}
      </div>
    </>,
    shownPlatforms.length > 0 ? (
      <>
        {shownPlatforms.join(', ')}
        {platforms.length > MAX_PLATFORMS && ` and ${platforms.length - MAX_PLATFORMS} more`}
      </>
    ) : (
      <span class="dim">{artifactType ?? NOTHING}</span>
    ),
    size === undefined ? NOTHING : formatBytes(size),
    <Moment at={firstSeen} now={now} />,
    <Moment at={lastRead} now={now} />,
  ]
}
