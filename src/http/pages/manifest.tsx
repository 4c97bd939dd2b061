// One manifest: what it is for, what it is made of, how it was built, and what refers to it.

import type { Child } from 'hono/jsx'
import type { LayerLine, ManifestPage, PlatformLine, ReferrerLine } from '../../registry/image.ts'
import { ConfigFacts, HistoryTable } from './image-config.tsx'
import { Moment, Outward, Table } from './elements.tsx'
import { NOTHING, formatBytes, formatMany, shortDigest } from './format.ts'
import { imagePath } from './images.tsx'
import { Pulls } from './pulls.tsx'
import type { Place } from './snippets.ts'

/** Shows it; `written` is the tag or digest that was asked for. */
export function ManifestView({
  page,
  written,
  now,
  place,
}: {
  readonly page: ManifestPage
  readonly written: string
  readonly now: number
  readonly place: Pick<Place, 'origin' | 'host'>
}) {
  const { name, platforms, layers, history, referrers, config, annotations } = page
  const of = written.includes(':') ? shortDigest(written) : written
  return (
    <>
      <p class="crumbs">
        <a href="/_/images">Images</a> / <a href={imagePath(name)}>{name}</a>
      </p>
      <div class="head">
        <h1>{of}</h1>
        <p>
          {whatItIs(page)} ·{formatBytes(page.size)}
          {page.isPinned && <span class="ok"> · pinned</span>}
        </p>
      </div>
      {page.isCut && <p class="note">There is more in this manifest than is shown here.</p>}
      <Facts page={page} now={now} />
      <Pulls place={place} name={name} reference={written} />
      {platforms.length > 0 && <Platforms name={name} platforms={platforms} />}
      {layers.length > 0 && <Layers layers={layers} isImage={config !== undefined} />}
      {config !== undefined && (
        <Section title="Configuration">
          <ConfigFacts config={config} />
        </Section>
      )}
      {history.length > 0 && (
        <Section title="History">
          <HistoryTable history={history} />
        </Section>
      )}
      <Section title="Referrers and signatures">
        {referrers.length === 0 ? (
          <p class="panel empty">Nothing here refers to this manifest.</p>
        ) : (
          <Referrers name={name} referrers={referrers} />
        )}
      </Section>
      {Object.keys(annotations).length > 0 && (
        <Section title="Annotations">
          <Pairs pairs={annotations} />
        </Section>
      )}
    </>
  )
}

function whatItIs({ mediaType, artifactType, config }: ManifestPage): string {
  if (config !== undefined) return config.platform ?? 'image'
  return /index|manifest\.list/.test(mediaType) ? 'index' : (artifactType ?? 'image')
}

/** Names with texts that somebody else wrote. */
function Pairs({ pairs }: { readonly pairs: Readonly<Record<string, string>> }) {
  return (
    <dl class="facts panel">
      {Object.entries(pairs).map(([key, value]) => (
        <>
          <dt class="mono">{key}</dt>
          <dd>
            <Outward text={value} />
          </dd>
        </>
      ))}
    </dl>
  )
}

function Section({ title, children }: { readonly title: string; readonly children?: Child }) {
  return (
    <section>
      <h2>{title}</h2>
      {children}
    </section>
  )
}

function Facts({ page, now }: { readonly page: ManifestPage; readonly now: number }) {
  const { name, digest, mediaType, tags, subject, firstSeen, lastRead } = page
  return (
    <dl class="facts panel">
      <dt>Digest</dt>
      <dd>
        <code class="copy">{digest}</code>
      </dd>
      <dt>Tags</dt>
      <dd>
        {tags.length === 0
          ? NOTHING
          : tags.map((tag) => (
              <a class="tag" href={imagePath(name, tag)}>
                {tag}
              </a>
            ))}
      </dd>
      <dt>Media type</dt>
      <dd>{mediaType}</dd>
      {subject !== undefined && (
        <>
          <dt>Refers to</dt>
          <dd>
            <a href={imagePath(name, subject)}>
              <code>{subject}</code>
            </a>
          </dd>
        </>
      )}
      <dt>First seen</dt>
      <dd>
        <Moment at={firstSeen} now={now} />
      </dd>
      <dt>Last read</dt>
      <dd>
        <Moment at={lastRead} now={now} />
      </dd>
    </dl>
  )
}

function Platforms({
  name,
  platforms,
}: {
  readonly name: string
  readonly platforms: readonly PlatformLine[]
}) {
  return (
    <Section title="Platforms">
      <Table
        label="Platforms"
        columns={[{ name: 'Platform' }, { name: 'Manifest' }, { name: 'Size', isNumber: true }]}
        rows={platforms.map(({ platform, digest, size, isHere, isAttestation }) => [
          isAttestation ? <span class="dim">attestation</span> : (platform ?? 'not said'),
          isHere === false ? (
            <>
              <code>{shortDigest(digest)}</code> <small>not here yet</small>
            </>
          ) : (
            <a href={imagePath(name, digest)}>
              <code>{shortDigest(digest)}</code>
            </a>
          ),
          size === undefined ? NOTHING : formatBytes(size),
        ])}
      />
    </Section>
  )
}

function Layers({
  layers,
  isImage,
}: {
  readonly layers: readonly LayerLine[]
  readonly isImage: boolean
}) {
  const total = layers.reduce((sum, { size }) => sum + size, 0)
  return (
    <Section title={isImage ? 'Layers' : 'Blobs'}>
      <p class="dim">
        {formatMany(layers.length, isImage ? 'layer' : 'blob')}, {formatBytes(total)}
      </p>
      <Table
        label={isImage ? 'Layers' : 'Blobs'}
        columns={[{ name: 'Digest' }, { name: 'Media type' }, { name: 'Size', isNumber: true }]}
        rows={layers.map(({ digest, mediaType, size, isHere, title }) => [
          <>
            <code title={digest}>{shortDigest(digest)}</code>
            {title !== undefined && <> {title}</>}
            {isHere === false && <small> not here yet</small>}
          </>,
          mediaType,
          formatBytes(size),
        ])}
      />
    </Section>
  )
}

function Referrers({
  name,
  referrers,
}: {
  readonly name: string
  readonly referrers: readonly ReferrerLine[]
}) {
  return (
    <Table
      label="Referrers"
      columns={[
        { name: 'Manifest' },
        { name: 'What it is' },
        { name: 'Says' },
        { name: 'Size', isNumber: true },
      ]}
      rows={referrers.map(
        ({ digest, mediaType, artifactType, size, annotations, isSignature, tag }) => [
          <>
            <a href={imagePath(name, digest)}>
              <code>{shortDigest(digest)}</code>
            </a>
            {tag !== undefined && <small> by its tag</small>}
          </>,
          <>
            {isSignature && <span class="ok">signature </span>}
            {artifactType ?? mediaType}
          </>,
          <Notes annotations={annotations} />,
          formatBytes(size),
        ],
      )}
    />
  )
}

function Notes({ annotations }: { readonly annotations: Readonly<Record<string, string>> }) {
  const entries = Object.entries(annotations)
  if (entries.length === 0) return <span class="dim">{NOTHING}</span>
  return (
    <details>
      <summary>{formatMany(entries.length, 'annotation')}</summary>
      {entries.map(([key, value]) => (
        <div>
          <span class="mono">{key}</span> <Outward text={value} />
        </div>
      ))}
    </details>
  )
}
