// How far a job is, as one line of a terminal: a bar, figures, a rate and what is left, as wide as there is room.

import type { JobProgress } from '../src/jobs/job.ts'
import type { Job } from './job.ts'
import { formatProgressFigures, labelOf } from './job.ts'
import { formatBytes, formatRate, formatSpan } from './quantity.ts'
import { plain } from './table.ts'

/** How far a job was, and when (milliseconds). */
export interface Sample {
  readonly done: number
  readonly at: number
}

/** What a line is made of. */
export interface ProgressView {
  readonly job: Pick<Job, 'kind' | 'title' | 'state' | 'progress' | 'note' | 'until'>
  /** Things in a second; undefined while nobody can say. */
  readonly rate: number | undefined
  /** Why the registry does not answer at the moment. */
  readonly away?: string
}

/** A rate is that of this last while (milliseconds). */
const WINDOW = 20_000
/** Before so much time has been seen there is none (milliseconds). */
const MIN_WINDOW = 1500
const MAX_BAR = 30
const MIN_BAR = 8
/** Eighths of a cell. */
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/** Adds a sample, and drops what is too old to count. */
export function addSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const last = samples.at(-1)
  // A step that is repeated, or another unit: begin anew.
  if (last !== undefined && sample.done < last.done) return [sample]
  const kept = samples.filter(({ at }) => sample.at - at <= WINDOW)
  return [...kept, sample]
}

/** Things in a second over the samples; undefined: too few, or nothing moves. */
export function rateOf(samples: readonly Sample[]): number | undefined {
  const first = samples[0]
  const last = samples.at(-1)
  if (first === undefined || last === undefined) return undefined
  const took = last.at - first.at
  const done = last.done - first.done
  return took < MIN_WINDOW || done <= 0 ? undefined : (done / took) * 1000
}

/** The line, at most `width` characters of it. */
export function formatProgress({ job, rate, away }: ProgressView, width: number): string {
  const { progress } = job
  const title = labelOf(job)
  const reason = away === undefined ? formatWaiting(job) : `no answer: ${plain(away)}`
  const share = shareOf(progress)
  const tail = [
    formatProgressFigures(progress),
    ...(share === undefined ? [] : [`${Math.floor(share * 100)}%`]),
    ...(reason === '' ? formatPace(progress, rate) : [reason]),
  ].filter((part) => part !== '')
  const bar = (cells: number): string => (share === undefined ? '' : formatBar(share, cells))
  const fits = [
    [title, bar(MAX_BAR), ...tail],
    [title, bar(MIN_BAR), ...tail],
    [bar(MAX_BAR), ...tail],
    [bar(MIN_BAR), ...tail],
    tail,
  ].map((parts) => parts.filter((part) => part !== '').join('  '))
  return fits.find((line) => line.length <= width) ?? cut(tail.join('  '), width)
}

/** The line for what is no terminal: everything, and no bar. */
export function formatChange({ job, away }: Omit<ProgressView, 'rate'>): string {
  const reason = away === undefined ? formatWaiting(job) : `no answer: ${plain(away)}`
  const figures = formatProgressFigures(job.progress)
  const parts = [job.state === 'running' ? '' : job.state, figures, reason]
  return [labelOf(job), ...parts.filter((part) => part !== '')].join(', ')
}

function formatWaiting({ state, note, until }: ProgressView['job']): string {
  if (state !== 'waiting') return plain(note)
  const when =
    until === undefined ? '' : ` until ${plain(until).replace(/^.*T([\d:]{8}).*$/, '$1Z')}`
  return `waits${when}${note === '' ? '' : `: ${plain(note)}`}`
}

function formatPace({ done, total, unit }: JobProgress, rate: number | undefined): string[] {
  if (rate === undefined) return []
  const pace = unit === 'bytes' ? `${formatBytes(rate)}/s` : `${formatRate(rate)}/s`
  return total === undefined || done >= total
    ? [pace]
    : [pace, `${formatSpan(((total - done) / rate) * 1000)} left`]
}

function shareOf({ done, total }: JobProgress): number | undefined {
  if (total === undefined || total <= 0) return undefined
  return Math.min(1, Math.max(0, done / total))
}

function formatBar(share: number, cells: number): string {
  const eighths = Math.floor(share * cells * 8)
  const bar = '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '')
  return `▕${bar.padEnd(cells)}▏`
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}
