// What pages are made of: tables that become cards on a phone, times, links, bars and text to copy.

import type { Child } from 'hono/jsx'
import { NOTHING, formatDuration, formatTime } from './format.ts'

/** A column of a table. */
export interface Column {
  readonly name: string
  readonly isNumber?: boolean
}

/**
 * A table, whose first column names its rows. On a phone each row is a card, for which its cells are no cells any more:
 * the roles keep it a table to whoever listens.
 */
export function Table({
  label,
  columns,
  rows,
  isDense = false,
}: {
  readonly label: string
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly Child[])[]
  /** Whether its cells are short enough to stand side by side on a phone. */
  readonly isDense?: boolean
}) {
  const kind = (index: number): string | undefined => (columns[index]?.isNumber ? 'num' : undefined)
  return (
    <div class="wrap">
      <table class={isDense ? 'cards dense' : 'cards'} role="table" aria-label={label}>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map(({ name }, index) => (
              <th scope="col" role="columnheader" class={kind(index)}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map(([first, ...others]) => (
            <tr role="row">
              <th scope="row" role="rowheader">
                {first}
              </th>
              {others.map((cell, index) => (
                <td role="cell" class={kind(index + 1)} data-label={columns[index + 1]?.name}>
                  {cell === '' ? NOTHING : <div>{cell}</div>}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** How long ago, or how long until then; the time itself on hovering. */
export function Moment({ at, now }: { readonly at: number | undefined; readonly now: number }) {
  if (at === undefined) return <span class="dim">{NOTHING}</span>
  const away = formatDuration(at - now)
  return (
    <time class="tight" datetime={new Date(at).toISOString()} title={formatTime(at)}>
      {at > now ? `in ${away}` : `${away} ago`}
    </time>
  )
}

/** How full something is. */
export function Bar({
  share,
  mark,
  label,
  level = 'one',
  isWide = false,
}: {
  readonly share: number
  /** A second share, as a line. */
  readonly mark?: number | undefined
  readonly label: string
  readonly level?: 'one' | 'low' | 'out'
  readonly isWide?: boolean
}) {
  const width = Math.min(Math.max(share, 0), 1) * 100
  return (
    <svg
      class={isWide ? 'bar wide' : 'bar'}
      viewBox="0 0 100 1"
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <rect class={level} width={width.toFixed(2)} height="1" />
      {mark !== undefined && (
        <rect class="mark" x={(mark * 100).toFixed(2)} width="0.4" height="1" />
      )}
    </svg>
  )
}

/** What is told in place of a part that is away. */
export function Away({ what }: { readonly what: string }) {
  return (
    <p class="note alert" role="status">
      {what} cannot be read just now. Everything else on this page is current.
    </p>
  )
}

/** Text to copy: one click selects all of it. */
export function Copy({ text, label }: { readonly text: string; readonly label: string }) {
  return (
    <pre class="copy" tabindex={0} role="region" aria-label={label}>
      <code>{text}</code>
    </pre>
  )
}

/** Where a list goes on. */
export function Pages({
  first,
  next,
}: {
  readonly first?: string
  readonly next?: string | undefined
}) {
  if (first === undefined && next === undefined) return null
  return (
    <nav class="pages" aria-label="Pages of this list">
      {first !== undefined && <a href={first}>← First page</a>}
      {next !== undefined && (
        <a href={next} rel="next">
          Next page →
        </a>
      )}
    </nav>
  )
}

/** A text that somebody else wrote as a link, where it is an https URL and nothing else. */
export function Outward({ text }: { readonly text: string }) {
  const url = URL.parse(text)
  if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '') return <>{text}</>
  return (
    <a href={url.href} rel="noreferrer noopener nofollow">
      {text}
    </a>
  )
}
