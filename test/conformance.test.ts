// What `npm run conformance` makes of its command line and of the official suite's output, and that
// docs/conformance.md has no hole: each requirement has an answer, and rows of tests that are there.

import { describe, expect, it } from 'vitest'
import page from '../docs/conformance.md?raw'
import {
  environmentOf,
  fitting,
  labelOf,
  leftOut,
  misdelivered,
  parseArguments,
} from './conformance/plan.ts'
import { figuresOf, parseReport, shortcomings } from './conformance/report.ts'

function streamed(version: string): readonly string[] {
  return ['', ' with login', ' sparse', ' sparse with login'].map((how) => `${version}${how}`)
}

function inEveryWay(version: string): readonly string[] {
  return [...streamed(version), ...streamed(version).map((label) => `${label} redirected`)]
}

describe('the command line', () => {
  it.each([
    {
      name: 'nothing',
      given: [],
      want: ['1.0 with login redirected', '1.1 redirected', 'dev sparse', 'dev sparse with login'],
    },
    {
      name: '--all',
      given: ['--all'],
      want: [...inEveryWay('1.0'), ...inEveryWay('1.1'), ...streamed('dev')],
    },
    { name: '--all twice', given: ['--all', '--all'], want: 20 },
    { name: 'an unknown option', given: ['--all', '--fast'], want: 'unknown: --fast' },
    { name: 'a version', given: ['dev'], want: 'unknown: dev' },
  ])('$name', ({ given, want }) => {
    const read = parseArguments(given)
    if (typeof want === 'string') expect(!read.ok && read.message).toContain(want)
    else if (typeof want === 'number') expect(read.ok && read.combinations).toHaveLength(want)
    else expect(read.ok && read.combinations.map(labelOf)).toEqual(want)
  })

  it('reaches the suite as its environment variables', () => {
    expect(environmentOf({ version: 'dev', isSparse: true })).toEqual({
      OCI_VERSION: 'dev',
      OCI_DATA_SPARSE: 'true',
    })
    expect(environmentOf({ version: '1.0', isSparse: false })).toEqual({
      OCI_VERSION: '1.0',
      OCI_DATA_SPARSE: 'false',
    })
  })
})

describe('what a registry cannot do', () => {
  const asked = parseArguments([])
  const combinations = asked.ok ? asked.combinations : []

  it.each([
    {
      name: 'nothing',
      abilities: { hasLogin: true, hasRedirects: true },
      want: combinations.map(labelOf),
    },
    {
      name: 'to know accounts',
      abilities: { hasLogin: false, hasRedirects: true },
      want: ['1.0 redirected', '1.1 redirected', 'dev sparse'],
    },
    {
      name: 'to redirect, nor to know accounts',
      abilities: { hasLogin: false, hasRedirects: false },
      want: ['1.0', '1.1', 'dev sparse'],
    },
  ])('is not asked of it, and nothing is asked twice: $name', ({ abilities, want }) => {
    expect(fitting(combinations, abilities).map(labelOf)).toEqual(want)
  })
})

describe('how blobs were read', () => {
  it.each([
    { name: 'redirected', isRedirected: true, redirected: 9, streamed: 3, want: [] },
    { name: 'streamed', isRedirected: false, redirected: 0, streamed: 3, want: [] },
    {
      name: 'streamed where they were to be redirected',
      isRedirected: true,
      redirected: 0,
      streamed: 9,
      want: ['no blob was redirected'],
    },
    {
      name: 'redirected where they were to be streamed',
      isRedirected: false,
      redirected: 1,
      streamed: 9,
      want: ['1 blobs were redirected'],
    },
    {
      name: 'not at all',
      isRedirected: false,
      redirected: 0,
      streamed: 0,
      want: ['no blob was streamed'],
    },
  ])('$name', ({ isRedirected, want, ...counts }) => {
    expect(misdelivered({ isRedirected }, counts)).toEqual(want)
  })
})

/** What the suite prints, shortened: a tree of tests, its configuration, three tables. */
const GOOD = `Test results
OCI Conformance Test: Pass
  OCI Conformance Test/ping: Pass
  OCI Conformance Test/image: Pass
    OCI Conformance Test/image/push: Pass
      OCI Conformance Test/image/push/blob-post-put: Pass
    OCI Conformance Test/image/referrers: Disabled
    - registry does not support the referrers API

Configuration:
  tls: disabled
  version: "1.0"

OCI Conformance Result: Pass
  Disabled......................:          1
  Skip..........................:          0
  Pass..........................:          2
  FAIL..........................:          0
  Error.........................:          0
  Total.........................:          3

API conformance:
  Ping..........................:       Pass
  Blob upload cancel............:   Disabled
  Manifest put with tag params..:   Disabled
  Blob post put.................:       Pass
  Referrers.....................:   Disabled

Data conformance:
  Image.........................:       Pass
  Non-distributable Layers......:       Pass
  Sparse Manifests..............:   Disabled
`

const IN_FULL = {
  asked: ['Ping', 'Blob post put', 'Referrers'],
  isInFull: true,
  leftOut: leftOut({ version: '1.0', isSparse: false }),
}

describe('a report', () => {
  it('gives its figures', () => {
    expect(figuresOf(parseReport(GOOD))).toBe('2 pass, 0 fail, 0 skip (1 disabled)')
    expect(figuresOf(parseReport('no such file'))).toBe('0 pass, 0 fail, 0 skip (0 disabled)')
  })

  it('is good when everything that the version knows has passed', () => {
    expect(shortcomings(parseReport(GOOD), IN_FULL)).toEqual([])
  })

  it.each([
    {
      name: 'a failed test, by its name and cause, without the branches above it',
      change: (text: string) =>
        text
          .replace('image/push: Pass', 'image/push: FAIL')
          .replace('put: Pass', 'put: FAIL\n       - status 500\n       - status 501')
          .replace('FAIL..........................:          0', 'FAIL.......:  1'),
      want: ['FAIL image/push/blob-post-put: status 500; status 501', 'number of FAIL: 1'],
    },
    {
      name: 'a skipped test',
      change: (text: string) =>
        text
          .replace('put: Pass', 'put: Skip\n       - fell back')
          .replace('Skip..........................:          0', 'Skip.......:  1'),
      want: ['Skip image/push/blob-post-put: fell back', 'number of Skip: 1'],
    },
    {
      name: 'a failed test that has no name',
      change: (text: string) =>
        text.replace('Error.........................:          0', 'Error.......: 2'),
      want: ['number of Error: 2'],
    },
    {
      name: 'an API that had to be asked and was not mentioned',
      change: (text: string) => text.replace(/^ {2}Ping.*\n/m, ''),
      want: ['Ping: not asked'],
    },
    {
      name: 'an API that nobody listed and that did not pass',
      change: (text: string) => text.replace('Data conformance', '  New.....: Disabled\nData'),
      want: ['New: Disabled'],
    },
    {
      name: 'data that did not pass',
      change: (text: string) =>
        text.replace(
          'Non-distributable Layers......:       Pass',
          'Non-distributable Layers..: FAIL',
        ),
      want: ['Non-distributable Layers: FAIL'],
    },
    {
      name: 'a suite that did not run',
      change: () => 'Error: conformance: status 2',
      want: [
        ...['FAIL', 'Error', 'Skip'].map((status) => `number of ${status}: none told`),
        'Ping: not asked',
        'Blob post put: not asked',
      ],
    },
  ])('tells of $name', ({ change, want }) => {
    expect(shortcomings(parseReport(change(GOOD)), IN_FULL)).toEqual(want)
  })

  it('of the read-only form must hold what was asked for, and nothing else', () => {
    const readOnly = { asked: ['Ping'], isInFull: false, leftOut: new Map<string, string>() }
    expect(shortcomings(parseReport(GOOD), readOnly)).toEqual([])
    const asked = ['Ping', 'Referrers']
    expect(shortcomings(parseReport(GOOD), { ...readOnly, asked })).toEqual(['Referrers: Disabled'])
  })
})

describe('what a version leaves out', () => {
  it.each([
    { version: 'dev', isSparse: true, want: [] },
    { version: 'dev', isSparse: false, want: ['Sparse Manifests'] },
    {
      version: '1.1',
      isSparse: true,
      want: ['Blob upload cancel', 'Manifest put with tag params', 'Tag Param', 'Tag Param sha512'],
    },
    {
      version: '1.0',
      isSparse: true,
      want: [
        'Blob anonymous mount',
        'Blob upload cancel',
        'Manifest put with tag params',
        'Referrers',
        'Tag Param',
        'Tag Param sha512',
      ],
    },
  ] as const)('$version, sparse $isSparse', ({ version, isSparse, want }) => {
    expect([...leftOut({ version, isSparse }).keys()].toSorted()).toEqual(want)
  })
})

const TESTS: Readonly<Record<string, string>> = import.meta.glob('./*/*.test.ts', {
  query: '?raw',
  import: 'default',
  eager: true,
})

/** The rows of every table that says by which tests a requirement is shown. */
function requirements(): readonly (readonly string[])[] {
  const lines = page.slice(page.indexOf('\n## 0. ')).split('\n')
  const rows = lines.filter((line) => line.startsWith('| '))
  return rows
    .map((row) => row.split(' | ').map((cell) => cell.replaceAll(/^\| | \|$/g, '').trim()))
    .filter(([first]) => first !== 'requirement')
}

/** What a cell names that is not there: files, and rows of them. */
function missing(shownBy: string): readonly string[] {
  const named = [...shownBy.matchAll(/`([^`]+)`((?:,? “[^”]+”)*)/g)]
  if (named.length === 0) return [`no test in: ${shownBy}`]
  return named.flatMap(([, file = '', rows = '']) => {
    if (file === 'suite') return []
    const source = TESTS[`./${file}.test.ts`]
    if (source === undefined) return [file]
    const wanted = [...rows.matchAll(/“([^”]+)”/g)].map(([, row = '']) => row)
    return wanted.filter((row) => !source.includes(row)).map((row) => `${file}: ${row}`)
  })
}

describe('docs/conformance.md', () => {
  it('has three full cells for each requirement', () => {
    expect(requirements().length).toBeGreaterThan(100)
    expect(requirements().filter((cells) => cells.length !== 3 || cells.includes(''))).toEqual([])
  })

  it('names tests that exist', () => {
    expect(requirements().flatMap(([, , shownBy = '']) => missing(shownBy))).toEqual([])
  })

  it('leaves nothing open', () => {
    expect(page).not.toContain('TODO')
  })
})
