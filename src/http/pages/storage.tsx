// How full the registry is, against what it may hold, as a job has last measured it.

import type { StorageTarget } from '../../config.ts'
import { bytesOf } from '../../meter/storage.ts'
import type { StorageFigures } from '../../meter/storage.ts'
import { Away, Bar, Moment, Table } from './elements.tsx'
import { formatBytes, formatCount, formatShare } from './format.ts'
import type { Part } from './part.ts'

/** Shows it. */
export function StoragePanel({
  storage,
  wanted,
  now,
}: {
  readonly storage: Part<StorageFigures | undefined>
  /** `undefined`: all is kept. */
  readonly wanted: StorageTarget | undefined
  readonly now: number
}) {
  if (!storage.isHere) return <Away what="What is stored" />
  if (storage.value === undefined) {
    return <p class="panel empty">Not measured yet: a collection, also a dry run, does that.</p>
  }
  const { at, hosts } = storage.value
  const { target, low } = wanted ?? {}
  const bytes = bytesOf(storage.value)
  return (
    <>
      <div class="panel fill">
        <p>
          <strong>{formatBytes(bytes)}</strong>
          {target !== undefined && ` of ${formatBytes(target)}`} mirrored{' '}
          <small>
            measured <Moment at={at} now={now} />
          </small>
        </p>
        {target === undefined ? (
          <p class="dim">No target: nothing is removed by itself.</p>
        ) : (
          <Fill bytes={bytes} target={target} low={low} />
        )}
      </div>
      <Hosts hosts={hosts} bytes={bytes} />
    </>
  )
}

function Fill({
  bytes,
  target,
  low,
}: {
  readonly bytes: number
  readonly target: number
  readonly low: number | undefined
}) {
  const share = target === 0 ? 1 : bytes / target
  return (
    <>
      <Bar
        isWide
        share={share}
        level={share > 1 ? 'out' : 'one'}
        mark={low === undefined || target === 0 ? undefined : low / target}
        label={`${formatShare(share)} of the target`}
      />
      <small>
        {formatShare(share)} of the target
        {low !== undefined && `; a collection frees down to ${formatBytes(low)}, the mark`}
      </small>
    </>
  )
}

function Hosts({
  hosts,
  bytes,
}: {
  readonly hosts: StorageFigures['hosts']
  readonly bytes: number
}) {
  const all = Object.entries(hosts)
  if (all.length === 0) return null
  return (
    <Table
      isDense
      label="Storage by upstream"
      columns={[
        { name: 'Upstream' },
        { name: 'Size', isNumber: true },
        { name: 'Share', isNumber: true },
        { name: 'Objects', isNumber: true },
      ]}
      rows={all
        .toSorted(([, one], [, other]) => other.bytes - one.bytes)
        .map(([host, stored]) => [
          host,
          formatBytes(stored.bytes),
          formatShare(bytes === 0 ? 0 : stored.bytes / bytes),
          formatCount(stored.objects),
        ])}
    />
  )
}
