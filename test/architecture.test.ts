// Holds the layout: imports run one way and in no circle, the network is asked in one place, and files
// stay small. The checker is a function over sources, and the table below proves that it finds things.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path/posix'

import { describe, expect, it } from 'vitest'
import { parseAst } from 'vitest/node'

/** Each room and what stands directly left of it; it may import that, and all that is left of that. */
const LEFT_OF: Readonly<Record<string, readonly string[]>> = {
  oci: [],
  seams: ['oci'],
  outbound: ['seams'],
  storage: ['outbound'],
  auth: ['outbound'],
  upstream: ['storage'],
  mirror: ['upstream'],
  hosted: ['storage'],
  registry: ['mirror', 'hosted'],
  config: ['auth', 'upstream'],
  meter: ['seams'],
  jobs: ['registry', 'auth', 'config'],
  services: ['jobs', 'meter'],
  http: ['services'],
  objects: ['services'],
  schedule: ['services'],
  worker: ['http', 'objects', 'schedule'],
  'local-worker': ['http', 'objects', 'schedule'],
  cli: ['worker'],
  bench: ['cli'],
  test: ['cli'],
}

/** The packages that a room of `src` may import; everything else of `src` imports none. */
const PACKAGES: Readonly<Record<string, RegExp>> = {
  auth: /^jose$/,
  http: /^hono(\/|$)/,
  storage: /^aws4fetch$/,
  objects: /^cloudflare:workers$/,
}

/** How often the name `fetch` may stand in a file besides `outbound.ts`: declared, handed over, answered. */
const MAY_NAME_FETCH: Readonly<Record<string, number>> = {
  'src/seams.ts': 1,
  'src/services.ts': Infinity,
  'src/worker.ts': Infinity,
  'src/local-worker.ts': Infinity,
  'src/http/app.ts': 3,
}

/** What the platform runs, by its default export. */
const WORKERS = ['src/worker.ts', 'src/local-worker.ts']

const MAX_CODE_LINES = 300

interface Source {
  readonly file: string
  readonly source: string
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: unknown
}

/** What is known of one file. */
interface Facts extends Source {
  readonly nodes: readonly Node[]
  /** As they are written. */
  readonly imports: readonly string[]
}

/** Every breach of the rules, as lines `<file>: <what>`. */
function findViolations(sources: readonly Source[]): readonly string[] {
  const facts = sources.map(readFacts)
  return [
    ...facts.flatMap((each) =>
      [...checkImports(each), ...(isSource(each) ? checkSource(each) : [])].map(
        (what) => `${each.file}: ${what}`,
      ),
    ),
    ...findCycles(facts),
  ]
}

function checkImports({ file, imports }: Facts): readonly string[] {
  const room = roomOf(file)
  if (room === undefined || LEFT_OF[room] === undefined) return ['is in no room of the layout']
  const allowed = reachable(room)
  return imports.flatMap((specifier) => {
    // Text, such as a page of the documentation that a test reads.
    if (specifier.endsWith('?raw')) return []
    if (!specifier.startsWith('.')) {
      const isAllowed = file.startsWith('src/') ? PACKAGES[room]?.test(specifier) : true
      return isAllowed ? [] : [`may not import the package ${specifier}`]
    }
    const target = roomOf(join(dirname(file), specifier))
    if (target === undefined) return []
    return allowed.has(target) ? [] : [`${room} may not import ${target} (${specifier})`]
  })
}

function checkSource(facts: Facts): readonly string[] {
  const { file, source, nodes } = facts
  const found: string[] = []
  if (file !== 'src/outbound.ts') {
    const named = nodes.filter(namesFetch).length
    if (named > (MAY_NAME_FETCH[file] ?? 0)) found.push('names fetch; outbound.ts alone calls it')
  }
  const globals = nodes.filter(isGlobalFetch).length
  const calls = nodes.filter(isBareCall).length
  if (calls > 0 || globals > (file === 'src/services.ts' ? 1 : 0)) {
    found.push('takes fetch from the air; services.ts hands it over, once')
  }
  if (!WORKERS.includes(file) && nodes.some(({ type }) => type === 'ExportDefaultDeclaration')) {
    found.push('has a default export')
  }
  const lines = countCodeLines(source, nodes)
  if (lines > MAX_CODE_LINES) found.push(`has ${lines} lines of code, more than ${MAX_CODE_LINES}`)
  return found
}

/** Cycles among files, each named once by its members in order. */
function findCycles(facts: readonly Facts[]): readonly string[] {
  const targets = new Map(
    facts.map(({ file, imports }) => [
      file,
      imports.filter((each) => each.startsWith('.')).map((each) => join(dirname(file), each)),
    ]),
  )
  const found: string[] = []
  const finished = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    const index = path.indexOf(file)
    if (index >= 0) found.push(`import cycle: ${[...path.slice(index), file].join(' -> ')}`)
    if (index >= 0 || finished.has(file)) return
    for (const target of targets.get(file) ?? []) visit(target, [...path, file])
    finished.add(file)
  }
  for (const file of targets.keys()) visit(file, [])
  return found
}

function readFacts({ file, source }: Source): Facts {
  const nodes: Node[] = []
  collect(parseAst(source, { lang: file.endsWith('x') ? 'tsx' : 'ts', astType: 'ts' }, file), nodes)
  const imports = nodes.flatMap(({ source: from }) =>
    isNode(from) && typeof from['value'] === 'string' ? [from['value']] : [],
  )
  return { file, source, nodes, imports }
}

function collect(value: unknown, into: Node[]): void {
  if (Array.isArray(value)) for (const each of value) collect(each, into)
  if (!isNode(value)) return
  into.push(value)
  for (const child of Object.values(value)) if (typeof child === 'object') collect(child, into)
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value
}

/** The identifier, or the string in `seams['fetch']`. */
function namesFetch({ type, name, computed, property }: Node): boolean {
  if (type === 'Identifier') return name === 'fetch'
  return type === 'MemberExpression' && computed === true && isNamed(property, 'fetch')
}

/** `fetch(…)`, which no parameter of ours has for a name. */
function isBareCall({ type, callee }: Node): boolean {
  return type === 'CallExpression' && isNamed(callee, 'fetch')
}

/** `globalThis.fetch`, `self['fetch']`. */
function isGlobalFetch({ type, object, property }: Node): boolean {
  const isGlobal = isNamed(object, 'globalThis') || isNamed(object, 'self')
  return type === 'MemberExpression' && isGlobal && isNamed(property, 'fetch')
}

function isNamed(value: unknown, name: string): boolean {
  return isNode(value) && (value['name'] === name || value['value'] === name)
}

/** Lines on which something of the program begins or ends; comments and blank lines are not of it. */
function countCodeLines(source: string, nodes: readonly Node[]): number {
  const lineAt: number[] = []
  source.split('\n').forEach((text, line) => {
    for (let index = 0; index <= text.length; index++) lineAt.push(line)
  })
  const lines = new Set<number>()
  for (const { type, start, end } of nodes) {
    if (type === 'Program') continue
    const first = lineAt[start] ?? 0
    const last = lineAt[end] ?? first
    lines.add(first).add(last)
    if (type === 'TemplateElement') for (let line = first; line < last; line++) lines.add(line)
  }
  return lines.size
}

function roomOf(file: string): string | undefined {
  const [top, second = ''] = file.split('/')
  return top === 'src' ? second.replace(/\.tsx?$/, '') : top
}

function isSource({ file }: Source): boolean {
  return file.startsWith('src/')
}

/** The room itself and everything left of it. */
function reachable(room: string): ReadonlySet<string> {
  return new Set([room, ...(LEFT_OF[room] ?? []).flatMap((left) => [...reachable(left)])])
}

function readSources(): readonly Source[] {
  return ['src', 'cli', 'bench', 'test'].flatMap((top) => {
    try {
      return readdirSync(top, { recursive: true, encoding: 'utf8' })
        .map((name) => `${top}/${name.replaceAll('\\', '/')}`)
        .filter((file) => /\.tsx?$/.test(file) && !file.endsWith('.d.ts'))
        .map((file) => ({ file, source: readFileSync(file, 'utf8') }))
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
      throw error
    }
  })
}

const one = (file: string, source: string): readonly Source[] => [{ file, source }]
const lines = (count: number): string => 'export const a = 1\n'.repeat(count)

/** A planted breach, and a piece of the line that must report it; without one, nothing may be reported. */
const PLANTED: readonly { name: string; sources: readonly Source[]; want?: string }[] = [
  {
    name: 'oci imports a room',
    sources: one('src/oci/digest.ts', `import { a } from '../storage/keys.ts'`),
    want: 'oci may not import storage',
  },
  {
    name: 'a type counts as an import',
    sources: one('src/storage/keys.ts', `import type { A } from '../mirror/ledger.ts'`),
    want: 'storage may not import mirror',
  },
  {
    name: 'so does a re-export',
    sources: one('src/mirror/a.ts', `export { b } from '../hosted/b.ts'`),
    want: 'mirror may not import hosted',
  },
  {
    name: 'and `export *`',
    sources: one('src/auth/a.ts', `export * from '../storage/keys.ts'`),
    want: 'auth may not import storage',
  },
  {
    name: 'and import()',
    sources: one('src/upstream/a.ts', `const b = await import('../http/app.ts')`),
    want: 'upstream may not import http',
  },
  {
    name: 'and an import type',
    sources: one('src/upstream/a.ts', `type B = import('../registry/b.ts').B`),
    want: 'upstream may not import registry',
  },
  {
    name: 'registry does not know auth',
    sources: one('src/registry/a.ts', `import { mayDo } from '../auth/policy.ts'`),
    want: 'registry may not import auth',
  },
  {
    name: 'http and objects do not know each other',
    sources: one('src/http/app.ts', `import { MirrorLedger } from '../objects.ts'`),
    want: 'http may not import objects',
  },
  {
    name: 'src does not import cli',
    sources: one('src/services.ts', `import { a } from '../cli/upstream.ts'`),
    want: 'services may not import cli',
  },
  {
    name: 'cli does not import test',
    sources: one('cli/demo.ts', `import { a } from '../test/a.ts'`),
    want: 'cli may not import test',
  },
  {
    name: 'hono stays in http',
    sources: one('src/mirror/a.ts', `import { Hono } from 'hono'`),
    want: 'may not import the package hono',
  },
  {
    name: 'the platform module stays in objects',
    sources: one('src/mirror/a.ts', `import { env } from 'cloudflare:workers'`),
    want: 'may not import the package cloudflare:workers',
  },
  {
    name: 'a page is read like any other file',
    sources: one(
      'src/http/pages/a.tsx',
      `import { a } from '../../../cli/a.ts'\nconst b = <p>{a}</p>`,
    ),
    want: 'http may not import cli',
  },
  {
    name: 'Node stays out of src',
    sources: one('src/http/a.ts', `import { join } from 'node:path'`),
    want: 'may not import the package node:path',
  },
  {
    name: 'a new folder needs its place in the layout',
    sources: one('src/helpers/a.ts', 'export const a = 1'),
    want: 'is in no room',
  },
  {
    name: 'a direct call of fetch',
    sources: one('src/mirror/a.ts', `await fetch('https://example.com')`),
    want: 'names fetch',
  },
  {
    name: 'a call of the given fetch',
    sources: one('src/mirror/a.ts', `await seams.fetch(url, {})`),
    want: 'names fetch',
  },
  {
    name: 'a call by a computed name',
    sources: one('src/mirror/a.ts', `await seams['fetch'](url, {})`),
    want: 'names fetch',
  },
  {
    name: 'fetch under another name',
    sources: one('src/mirror/a.ts', `const { fetch: get } = globalThis`),
    want: 'names fetch',
  },
  {
    name: 'outbound.ts is given its fetch',
    sources: one('src/outbound.ts', `await globalThis.fetch(url)`),
    want: 'from the air',
  },
  {
    name: 'services.ts hands it over once',
    sources: one('src/services.ts', `const a = globalThis.fetch; const b = globalThis.fetch`),
    want: 'from the air',
  },
  {
    name: 'services.ts does not call it',
    sources: one('src/services.ts', `await fetch(url)`),
    want: 'from the air',
  },
  {
    name: 'a default export',
    sources: one('src/http/app.ts', 'export default {}'),
    want: 'has a default export',
  },
  {
    name: 'a file of 301 lines',
    sources: one('src/http/app.ts', lines(301)),
    want: 'has 301 lines of code',
  },
  {
    name: 'a cycle of three files',
    sources: [
      { file: 'src/oci/a.ts', source: `import './b.ts'` },
      { file: 'src/oci/b.ts', source: `import type { C } from './c.ts'` },
      { file: 'src/oci/c.ts', source: `export { a } from './a.ts'` },
    ],
    want: 'import cycle: src/oci/a.ts -> src/oci/b.ts -> src/oci/c.ts -> src/oci/a.ts',
  },
  {
    name: 'all that is left may be imported',
    sources: one('src/http/a.ts', `import '../oci/a.ts'`),
  },
  { name: 'a page as text', sources: one('test/a.test.ts', `import a from '../docs/a.md?raw'`) },
  { name: 'jose in auth', sources: one('src/auth/a.ts', `import { jwtVerify } from 'jose'`) },
  {
    name: 'aws4fetch in storage',
    sources: one('src/storage/a.ts', `import { AwsV4Signer } from 'aws4fetch'`),
  },
  { name: 'hono in http', sources: one('src/http/a.ts', `import { Hono } from 'hono'`) },
  {
    name: 'comments and strings about fetch',
    sources: one('src/mirror/a.ts', `// fetch(url)\nexport const a = 'fetch(url)'`),
  },
  {
    name: 'outbound.ts calls what it is given',
    sources: one('src/outbound.ts', `this.#fetch(url)`),
  },
  {
    name: 'services.ts hands fetch over',
    sources: one('src/services.ts', `export const a = { fetch: (u) => globalThis.fetch(u) }`),
  },
  {
    name: 'worker.ts answers',
    sources: one('src/worker.ts', `export default { fetch: (request) => app.fetch(request) }`),
  },
  {
    name: 'comments and blank lines do not count as code',
    sources: one('src/http/a.ts', `${lines(299)}/** why\n\n so */\n\n// and so\n`),
  },
]

describe('the layout', () => {
  it('is kept by every file', () => {
    expect(findViolations(readSources())).toEqual([])
  })

  it.each(PLANTED.filter(({ want }) => want !== undefined))('$name: $want', ({ sources, want }) => {
    expect(findViolations(sources).join('\n')).toContain(want)
  })

  it.each(PLANTED.filter(({ want }) => want === undefined))('allows: $name', ({ sources }) => {
    expect(findViolations(sources)).toEqual([])
  })
})
