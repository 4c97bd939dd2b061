// Plots, drawn here. Shapes are in a box of their own that a browser stretches, so that words keep their size from a phone
// to a wide screen. Nothing happened is a gap, never a zero.

import type { Child } from 'hono/jsx'
import { NOTHING, formatBytes, formatCount, formatShare } from './format.ts'
import { hitRateOf } from './traffic.ts'
import type { Bucket } from './traffic.ts'
import { barsOf, lineOf, niceBytes, runsOf } from './shapes.ts'

const HEIGHT = 150

interface PlotProps {
  /** Of its parts, on the page. */
  readonly id: string
  readonly span: string
  readonly buckets: readonly Bucket[]
}

/** The hit rate as a line with gaps. */
export function RatePlot({ id, span, buckets }: PlotProps) {
  const rates = buckets.map(({ sums }) => hitRateOf(sums))
  const known = rates.filter((rate) => rate !== undefined)
  const description =
    known.length === 0
      ? 'No traffic.'
      : `Between ${formatShare(Math.min(...known))} and ${formatShare(Math.max(...known))}; ${buckets.length - known.length} of ${buckets.length} without traffic.`
  const hints = buckets.map(({ name }, index) => {
    const rate = rates[index]
    return `${name}: ${rate === undefined ? 'no traffic' : formatShare(rate)}`
  })
  const floor = floorOf(known)
  const labels = [1, (1 + floor) / 2, floor].map(formatShare)
  return (
    <figure>
      <figcaption>
        Hit rate <span>{span}</span>
      </figcaption>
      <Frame {...{ id, buckets, hints, description, labels }} title={`Hit rate, ${span}`}>
        <path
          class="line"
          d={runsOf(rates.map((rate) => rate && (rate - floor) / (1 - floor)))
            .map(lineOf)
            .join('')}
        />
      </Frame>
    </figure>
  )
}

/** Where the axis begins: a line, unlike a bar, need not begin at nothing. */
function floorOf(rates: readonly number[]): number {
  const least = Math.min(...rates)
  return [0.8, 0.5].find((floor) => rates.length > 0 && least >= floor) ?? 0
}

/** Bytes that clients got, from the cache and from upstreams, as stacked bars. */
export function BytesPlot({ id, span, buckets }: PlotProps) {
  const totals = buckets.map(({ sums }) => sums.cachedBytes + sums.passedBytes)
  const top = niceBytes(Math.max(...totals))
  const saved = buckets.reduce((sum, bucket) => sum + bucket.sums.cachedBytes, 0)
  const passed = buckets.reduce((sum, bucket) => sum + bucket.sums.passedBytes, 0)
  const hints = buckets.map(
    ({ name, sums }) =>
      `${name}: ${formatBytes(sums.cachedBytes)} from the cache, ${formatBytes(sums.passedBytes)} from upstreams`,
  )
  const height = (bytes: number): number => (bytes / top) * 100
  return (
    <figure>
      <figcaption>
        Bytes to clients{' '}
        <span class="key">
          <span>
            <i />
            from the cache
          </span>
          <span>
            <i class="rest" />
            from upstreams
          </span>
        </span>
      </figcaption>
      <Frame
        {...{ id, buckets, hints }}
        title={`Bytes to clients, ${span}`}
        description={`${formatBytes(saved)} from the cache, ${formatBytes(passed)} from upstreams.`}
        labels={
          saved + passed === 0 ? ['', '', '0'] : [formatBytes(top), formatBytes(top / 2), '0']
        }
      >
        <path class="one" d={barsOf(buckets.map(({ sums }) => [0, height(sums.cachedBytes)]))} />
        <path
          class="two-of"
          d={barsOf(
            buckets.map(({ sums }) => [height(sums.cachedBytes), height(sums.passedBytes)]),
          )}
        />
      </Frame>
    </figure>
  )
}

/** The figures of both plots. */
export function Figures({
  label,
  buckets,
}: {
  readonly label: string
  readonly buckets: readonly Bucket[]
}) {
  return (
    <details>
      <summary>The same as a table</summary>
      <div class="scroll panel" tabindex={0} role="region" aria-label={label}>
        <table>
          <thead>
            <tr>
              <th scope="col">UTC</th>
              <th scope="col" class="num">
                Hit rate
              </th>
              <th scope="col" class="num">
                From the cache
              </th>
              <th scope="col" class="num">
                From upstreams
              </th>
              <th scope="col" class="num">
                Requests to upstreams
              </th>
            </tr>
          </thead>
          <tbody>
            {buckets.toReversed().map(({ name, sums }) => {
              const rate = hitRateOf(sums)
              return (
                <tr>
                  <th scope="row" class="tight">
                    {name}
                  </th>
                  <td class="num">{rate === undefined ? NOTHING : formatShare(rate)}</td>
                  <td class="num">{formatBytes(sums.cachedBytes)}</td>
                  <td class="num">{formatBytes(sums.passedBytes)}</td>
                  <td class="num">{formatCount(sums.upstreamRequests)}</td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </div>
    </details>
  )
}

/** Pulls by day, the last 30 of them, as a line of small bars. */
export function Spark({
  pulls,
  now,
}: {
  readonly pulls: readonly { readonly day: string; readonly pulls: number }[]
  readonly now: number
}) {
  const byDay = new Map(pulls.map((each) => [each.day, each.pulls]))
  const counts = Array.from({ length: 30 }, (_, index) => {
    const day = new Date(now - (29 - index) * 24 * 60 * 60 * 1000).toISOString().slice(0, 10)
    return byDay.get(day) ?? 0
  })
  const total = counts.reduce((sum, count) => sum + count, 0)
  const top = Math.max(...counts, 1)
  return (
    <svg
      class="spark"
      viewBox="0 0 30 100"
      preserveAspectRatio="none"
      role="img"
      aria-label={`${formatCount(total)} pulls in 30 days`}
    >
      <title>{`${formatCount(total)} pulls in 30 days`}</title>
      <path class="none" d="M0 97h30v3h-30z" />
      <path
        class="one"
        d={barsOf(counts.map((count) => [0, count === 0 ? 0 : Math.max((count / top) * 100, 8)]))}
      />
    </svg>
  )
}

interface FrameProps {
  readonly id: string
  readonly title: string
  readonly description: string
  /** From the top to the bottom. */
  readonly labels: readonly string[]
  readonly buckets: readonly Bucket[]
  readonly hints: readonly string[]
  readonly children?: Child
}

/** Axes, and over each bucket what is to be read there. */
function Frame({ id, title, description, labels, buckets, hints, children }: FrameProps) {
  return (
    <svg class="plot" role="img" aria-labelledby={`${id}-title ${id}-description`}>
      <title id={`${id}-title`}>{title}</title>
      <desc id={`${id}-description`}>{description}</desc>
      <Axes labels={labels} buckets={buckets} />
      <svg
        width="100%"
        height={HEIGHT}
        viewBox={`0 0 ${buckets.length} 100`}
        preserveAspectRatio="none"
        overflow="visible"
      >
        {children}
        {hints.map((hint, index) => (
          <rect class="hit" x={index} width="1" height="100">
            <title>{hint}</title>
          </rect>
        ))}
      </svg>
    </svg>
  )
}

function Axes({ labels, buckets }: Pick<FrameProps, 'labels' | 'buckets'>) {
  const last = labels.length - 1
  return (
    <>
      {labels.map((label, index) => {
        const y = (index * HEIGHT) / last
        return (
          <>
            <line class={index === last ? 'base' : 'grid'} x2="100%" y1={y} y2={y} />
            <text x="-8" y={y + 4} text-anchor="end">
              {label}
            </text>
          </>
        )
      })}
      {buckets.map(
        ({ tick }, index) =>
          tick !== undefined && (
            <text
              x={`${((index + (index === buckets.length - 1 ? 1 : 0.5)) / buckets.length) * 100}%`}
              y={HEIGHT + 18}
              text-anchor={index === buckets.length - 1 ? 'end' : 'middle'}
            >
              {tick}
            </text>
          ),
      )}
    </>
  )
}
