// The tally: every request is in the series that its endpoint, kind, outcome and status say, and is taken once.

import { describe, expect, it } from 'vitest'
import { formatSeries, seriesOf } from '../../src/meter/series.ts'
import { NO_SUMS, Tally } from '../../src/meter/tally.ts'

const KINDS = ['none', 'mirrored', 'hosted'] as const
const OUTCOMES = ['none', 'hit', 'miss', 'stale', 'fill', 'direct'] as const

describe('a tally', () => {
  it('keeps every combination apart', () => {
    const tally = new Tally()
    const want: Record<string, number> = {}
    let times = 0
    for (const endpoint of ['manifest', 'blob']) {
      for (const kind of KINDS) {
        for (const outcome of OUTCOMES) {
          for (const status of [101, 200, 307, 404, 503]) {
            times += 1
            for (let n = 0; n < times; n++) tally.request({ endpoint, kind, outcome, status })
            const labels = `endpoint="${endpoint}",kind="${kind}",outcome="${outcome}"`
            const shown = `status="${String(status)[0]}xx"`
            want[`entrepot_requests_total{${labels},${shown}}`] = times
          }
        }
      }
    }
    expect(tally.take()?.series).toEqual(want)
  })

  it.each([0, 99, 600, NaN])('has a place for the status %s', (status) => {
    const tally = new Tally()
    tally.request({ endpoint: 'blob', kind: 'none', outcome: 'none', status })
    expect(Object.keys(tally.take()?.series ?? {}).join()).toContain('status="none"')
  })

  it('keeps bytes apart by kind and source, and counts redirects', () => {
    const tally = new Tally()
    tally.sent('mirrored', 'cache', 1)
    tally.sent('mirrored', 'upstream', 20)
    tally.sent('mirrored', 'redirect', 300)
    tally.sent('hosted', 'store', 4000)
    tally.sent('hosted', 'redirect', 50_000)
    tally.sent('hosted', 'redirect', 50_000)
    const { series, sums } = tally.take() ?? expect.fail('nothing')
    expect(series).toEqual({
      'entrepot_sent_bytes_total{kind="mirrored",from="cache"}': 1,
      'entrepot_sent_bytes_total{kind="mirrored",from="upstream"}': 20,
      'entrepot_sent_bytes_total{kind="mirrored",from="redirect"}': 300,
      'entrepot_sent_bytes_total{kind="hosted",from="store"}': 4000,
      'entrepot_sent_bytes_total{kind="hosted",from="redirect"}': 100_000,
      'entrepot_redirects_total{kind="mirrored"}': 1,
      'entrepot_redirects_total{kind="hosted"}': 2,
    })
    expect(sums).toEqual({ ...NO_SUMS, cachedBytes: 301, passedBytes: 20 })
  })

  it('sums up what is mirrored', () => {
    const tally = new Tally()
    for (const outcome of OUTCOMES) {
      tally.request({ endpoint: 'blob', kind: 'mirrored', outcome, status: 200 })
      tally.request({ endpoint: 'blob', kind: 'mirrored', outcome, status: 502 })
      tally.request({ endpoint: 'blob', kind: 'hosted', outcome, status: 200 })
    }
    tally.asked('one.test', 200)
    tally.asked('one.test', undefined)
    tally.read('one.test', 5)
    tally.read('one.test', 6)
    tally.fillEnded('one.test', 'stored')
    tally.fillEnded('one.test', 'failed')
    tally.fillEnded('one.test', 'absent')
    expect(tally.take()?.sums).toEqual({
      ...NO_SUMS,
      requests: 18,
      errors: 6,
      hits: 2,
      misses: 3,
      upstreamRequests: 2,
      readBytes: 11,
      fillsStored: 1,
      fillsFailed: 1,
    })
  })

  it('is empty when it has been taken', () => {
    const tally = new Tally()
    expect(tally.take()).toBeUndefined()
    tally.request({ endpoint: 'blob', kind: 'mirrored', outcome: 'hit', status: 200 })
    tally.sent('mirrored', 'redirect', 1)
    tally.read('one.test', 1)
    tally.error('UNKNOWN')
    expect(Object.keys(tally.take()?.series ?? {})).toHaveLength(5)
    expect(tally.take()).toBeUndefined()
    tally.error('DENIED')
    expect(tally.take()).toEqual({
      series: { 'entrepot_errors_total{code="DENIED"}': 1 },
      sums: NO_SUMS,
    })
  })
})

describe('the text of series', () => {
  it('escapes what a label may not hold', () => {
    expect(seriesOf('entrepot_errors_total', 'a\\b"c\nd')).toBe(
      'entrepot_errors_total{code="a\\\\b\\"c\\nd"}',
    )
  })

  it('needs a value for each label', () => {
    expect(() => seriesOf('entrepot_errors_total')).toThrow('labels')
  })

  it('has each metric once, and none that is unknown', () => {
    const text = formatSeries({
      'entrepot_errors_total{code="B"}': 2,
      entrepot_of_tomorrow_total: 9,
      'entrepot_redirects_total{kind="hosted"}': 3,
      'entrepot_errors_total{code="A"}': 1,
    })
    expect(text.split('\n').filter((line) => !line.startsWith('# HELP'))).toEqual([
      '# TYPE entrepot_redirects_total counter',
      'entrepot_redirects_total{kind="hosted"} 3',
      '# TYPE entrepot_errors_total counter',
      'entrepot_errors_total{code="A"} 1',
      'entrepot_errors_total{code="B"} 2',
      '',
    ])
    expect(formatSeries({})).toBe('')
  })
})
