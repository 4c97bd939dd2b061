// How far a job is, as a table: the line of a terminal at every width, the line where there is none, and what is
// written to either.

import { describe, expect, it } from 'vitest'

import type { Job } from '../../cli/job.ts'
import type { ProgressView, Sample } from '../../cli/progress.ts'
import { addSample, formatChange, formatProgress, rateOf } from '../../cli/progress.ts'
import { progressOn } from '../../cli/progress-output.ts'
import { formatBytes, formatSpan, formatTime } from '../../cli/quantity.ts'
import { formatTable } from '../../cli/table.ts'

const MEBIBYTE = 1024 * 1024

const JOB: Job = {
  id: 'prefetch-1',
  kind: 'prefetch',
  title: '3 images',
  state: 'running',
  by: 'root',
  createdAt: '2026-11-23T02:00:00.000Z',
  endedAt: undefined,
  until: undefined,
  progress: { done: 0, total: undefined, unit: '' },
  note: '',
  result: {},
  json: {},
}

const job = (changes: Partial<Job>): Job => ({ ...JOB, ...changes })
const blobs = (done: number, total?: number): Partial<Job> => ({
  progress: { done, total, unit: 'blobs' },
})
const view = (changes: Partial<Job>, others: Partial<ProgressView> = {}): ProgressView => ({
  job: job(changes),
  rate: undefined,
  ...others,
})

describe('the line of a terminal', () => {
  it.each<{ name: string; view: ProgressView; width: number; want: string }>([
    { name: 'before anything is known', view: view({}), width: 79, want: 'prefetch 3 images' },
    {
      name: 'of an unknown total',
      view: view(blobs(5)),
      width: 79,
      want: 'prefetch 3 images  5 blobs',
    },
    {
      name: 'of an unknown total with a rate',
      view: view(blobs(5), { rate: 2.5 }),
      width: 79,
      want: 'prefetch 3 images  5 blobs  2.5/s',
    },
    {
      name: 'half-way, with a rate and what is left',
      view: view(blobs(50, 100), { rate: 5 }),
      width: 99,
      want: 'prefetch 3 images  ▕███████████████               ▏  50 of 100 blobs  50%  5.0/s  10 s left',
    },
    {
      name: 'in a smaller terminal, with a shorter bar',
      view: view(blobs(50, 100), { rate: 5 }),
      width: 79,
      want: 'prefetch 3 images  ▕████    ▏  50 of 100 blobs  50%  5.0/s  10 s left',
    },
    {
      name: 'in a small one, without the title',
      view: view(blobs(50, 100), { rate: 5 }),
      width: 60,
      want: '▕████    ▏  50 of 100 blobs  50%  5.0/s  10 s left',
    },
    {
      name: 'in a very small one, without a bar',
      view: view(blobs(50, 100), { rate: 5 }),
      width: 45,
      want: '50 of 100 blobs  50%  5.0/s  10 s left',
    },
    { name: 'in a tiny one, cut', view: view(blobs(50, 100)), width: 10, want: '50 of 100…' },
    { name: 'where nothing fits', view: view(blobs(50, 100)), width: 0, want: '…' },
    {
      name: 'to the eighth of a cell',
      view: view(blobs(1, 10)),
      width: 40,
      want: '▕▊       ▏  1 of 10 blobs  10%',
    },
    {
      name: 'of bytes',
      view: view(
        { progress: { done: 512 * MEBIBYTE, total: 1024 * MEBIBYTE, unit: 'bytes' } },
        { rate: 8 * MEBIBYTE },
      ),
      width: 62,
      want: '▕████    ▏  512 MiB of 1.0 GiB  50%  8.0 MiB/s  1 min 4 s left',
    },
    {
      name: 'of a total that was wrong',
      view: view(blobs(12, 10), { rate: 1 }),
      width: 40,
      want: '▕████████▏  12 of 10 blobs  100%  1.0/s',
    },
    {
      name: 'of a total of nothing',
      view: view(blobs(0, 0)),
      width: 79,
      want: 'prefetch 3 images  0 of 0 blobs',
    },
    {
      name: 'that waits, and why: no rate',
      view: view(
        { ...blobs(1, 4), state: 'waiting', until: '2026-11-23T02:05:00.000Z', note: 'no budget' },
        { rate: 5 },
      ),
      width: 99,
      want: 'prefetch 3 images  ▕██      ▏  1 of 4 blobs  25%  waits until 02:05:00Z: no budget',
    },
    {
      name: 'while the registry does not answer',
      view: view(blobs(1, 4), { away: 'ECONNREFUSED' }),
      width: 79,
      want: 'prefetch 3 images  ▕██      ▏  1 of 4 blobs  25%  no answer: ECONNREFUSED',
    },
    {
      name: 'with nothing that a terminal would obey',
      view: view({ title: 'prefetch \u001B[31m\u009Bx\u202E\n', note: '\u0007' }),
      width: 79,
      want: 'prefetch  [31m x',
    },
  ])('$name', ({ view: given, width, want }) => {
    expect(formatProgress(given, width)).toBe(want)
    expect(want.length).toBeLessThanOrEqual(Math.max(1, width))
  })
})

describe('the line where there is no terminal', () => {
  it.each<{ view: ProgressView; want: string }>([
    { view: view({}), want: 'prefetch 3 images' },
    { view: view(blobs(1, 4), { rate: 5 }), want: 'prefetch 3 images, 1 of 4 blobs' },
    {
      view: view({ ...blobs(1), state: 'waiting', note: 'no budget' }),
      want: 'prefetch 3 images, waiting, 1 blobs, waits: no budget',
    },
    { view: view({ state: 'done' }), want: 'prefetch 3 images, done' },
    {
      view: view(blobs(1), { away: 'status 503' }),
      want: 'prefetch 3 images, 1 blobs, no answer: status 503',
    },
  ])('$want', ({ view: given, want }) => {
    expect(formatChange(given)).toBe(want)
  })
})

describe('the rate', () => {
  const sampled = (samples: readonly Sample[]): number | undefined =>
    rateOf(samples.reduce<readonly Sample[]>(addSample, []))

  it.each<{ name: string; samples: readonly Sample[]; want: number | undefined }>([
    { name: 'of nothing', samples: [], want: undefined },
    { name: 'of one sample', samples: [{ done: 4, at: 0 }], want: undefined },
    {
      name: 'of too short a time',
      samples: [
        { done: 0, at: 0 },
        { done: 100, at: 1000 },
      ],
      want: undefined,
    },
    {
      name: 'of a while',
      samples: [
        { done: 10, at: 0 },
        { done: 20, at: 1000 },
        { done: 30, at: 4000 },
      ],
      want: 5,
    },
    {
      name: 'of the last while alone',
      samples: [
        { done: 0, at: 0 },
        { done: 1000, at: 1000 },
        { done: 1010, at: 15_000 },
        { done: 1020, at: 25_000 },
      ],
      want: 1,
    },
    {
      name: 'where nothing moves',
      samples: [
        { done: 7, at: 0 },
        { done: 7, at: 9000 },
      ],
      want: undefined,
    },
    {
      name: 'anew where the figures fall',
      samples: [
        { done: 90, at: 0 },
        { done: 10, at: 5000 },
        { done: 14, at: 7000 },
      ],
      want: 2,
    },
  ])('$name', ({ samples, want }) => {
    expect(sampled(samples)).toBe(want)
  })
})

describe('what is written', () => {
  /** A stream, its clock, and everything that was written to it. */
  function stage(given: { readonly isTTY: boolean; readonly columns?: number }) {
    const written: string[] = []
    const clock = { at: 0 }
    const stream = { ...given, write: (text: string) => written.push(text) }
    return { written, clock, output: progressOn(stream, () => clock.at) }
  }

  it('to a terminal is one line that is written over, and leaves it as it was', () => {
    const { written, output } = stage({ isTTY: true, columns: 60 })
    output.show(job(blobs(1, 4)))
    output.show(job(blobs(1, 4)))
    output.show(job(blobs(2, 4)))
    output.close()
    output.close()
    expect(written).toEqual([
      '\u001B[?25l\rprefetch 3 images  ▕██      ▏  1 of 4 blobs  25%\u001B[K',
      '\rprefetch 3 images  ▕████    ▏  2 of 4 blobs  50%\u001B[K',
      '\r\u001B[K\u001B[?25h',
    ])
  })

  it('to a terminal never reaches its last column', () => {
    const { written, output } = stage({ isTTY: true, columns: 20 })
    output.show(job({ ...blobs(1, 4), note: 'a note that is longer than that' }))
    output.close()
    const [first = ''] = written
    const codes = ['\u001B[?25l', '\r', '\u001B[K']
    expect(codes.reduce((text, code) => text.replace(code, ''), first)).toHaveLength(19)
  })

  it('to a terminal gives the cursor back however the program ends', () => {
    const { written, output } = stage({ isTTY: true })
    const before = process.listeners('exit')
    output.show(job({}))
    const added = process.listeners('exit').filter((each) => !before.includes(each))
    expect(added).toHaveLength(1)
    added[0]?.(0)
    expect(written.at(-1)).toContain('\u001B[?25h')
    expect(process.listeners('exit')).toEqual(before)
  })

  it('to anything else is a line for each change, and figures alone not more often than in 5 s', () => {
    const { written, clock, output } = stage({ isTTY: false })
    const show = (at: number, changes: Partial<Job>, away?: string): void => {
      clock.at = at
      output.show(job(changes), away)
    }
    show(0, blobs(0, 9))
    show(1000, blobs(1, 9))
    show(5000, blobs(2, 9))
    show(5500, { ...blobs(2, 9), state: 'waiting', note: 'no budget' })
    show(6000, { ...blobs(2, 9), state: 'waiting', note: 'no budget' })
    show(6500, blobs(3, 9), 'ECONNREFUSED')
    show(7000, blobs(3, 9))
    show(20_000, blobs(3, 9))
    output.close()
    expect(written).toEqual([
      'prefetch 3 images, 0 of 9 blobs\n',
      'prefetch 3 images, 2 of 9 blobs\n',
      'prefetch 3 images, waiting, 2 of 9 blobs, waits: no budget\n',
      'prefetch 3 images, 3 of 9 blobs, no answer: ECONNREFUSED\n',
      'prefetch 3 images, 3 of 9 blobs\n',
    ])
  })
})

describe('figures', () => {
  it.each([
    { bytes: 0, want: '0 B' },
    { bytes: 1023, want: '1023 B' },
    { bytes: 1024, want: '1.0 KiB' },
    { bytes: 1024 * 1024 - 1, want: '1.0 MiB' },
    { bytes: 24.26 * MEBIBYTE, want: '24.3 MiB' },
    { bytes: 500 * 1024 * MEBIBYTE, want: '500 GiB' },
    { bytes: 2 ** 60, want: '1024 PiB' },
  ])('$bytes bytes are $want', ({ bytes, want }) => {
    expect(formatBytes(bytes)).toBe(want)
  })

  it.each([
    { span: -5, want: '0 s' },
    { span: 59_499, want: '59 s' },
    { span: 59_500, want: '1 min' },
    { span: 64_000, want: '1 min 4 s' },
    { span: 3_600_000, want: '1 h' },
    { span: 7_500_000, want: '2 h 5 min' },
    { span: 90_000_000, want: '1 d 1 h' },
  ])('$span ms are $want', ({ span, want }) => {
    expect(formatSpan(span)).toBe(want)
  })

  it.each([
    { time: undefined, want: '-' },
    { time: '2026-11-23T02:48:53.123Z', want: '2026-11-23 02:48:53Z' },
    { time: 'soon', want: 'soon' },
  ])('$time is $want', ({ time, want }) => {
    expect(formatTime(time)).toBe(want)
  })
})

describe('a table', () => {
  it('has columns as wide as they must be, and no character that a terminal would obey', () => {
    const rows = [
      ['name', 'size'],
      ['a\u001B]0;x\u0007b', '1'],
      ['line\nbreak', '22'],
    ]
    expect(formatTable(rows)).toBe('name         size\na ]0;x b     1\nline break   22')
  })
})
