// JSON Schema (2020-12) as far as docs/openapi.json uses it: what is wrong with a value. A keyword that it does not know
// is an error, so that nothing in the document goes unchecked.

/** A schema. */
export type Schema = Readonly<Record<string, unknown>>

type Check = (given: {
  readonly keyword: unknown
  readonly value: unknown
  readonly at: string
  readonly schema: Schema
  readonly find: (reference: string) => Schema
}) => readonly string[]

/** These say something to people only. */
const ANNOTATIONS: ReadonlySet<string> = new Set(['description', 'examples', 'default'])

const FORMATS: Readonly<Record<string, (text: string) => boolean>> = {
  'date-time': (text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text),
  date: (text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)),
  uri: (text) => URL.canParse(text),
}

const CHECKS: Readonly<Record<string, Check>> = {
  $ref: ({ keyword, value, at, find }) => findFaults(value, find(String(keyword)), find, at),
  type: ({ keyword, value, at }) => {
    const types = [keyword].flat()
    const own = typeOf(value)
    const fits = types.includes(own) || (own === 'integer' && types.includes('number'))
    return fits ? [] : [`${at}: ${own}, not ${types.join(' or ')}`]
  },
  const: ({ keyword, value, at }) => (keyword === value ? [] : [`${at}: not ${String(keyword)}`]),
  enum: ({ keyword, value, at }) =>
    listOf(keyword).includes(value) ? [] : [`${at}: ${String(value)} is none of the words`],
  pattern: ({ keyword, value, at }) =>
    typeof value !== 'string' || new RegExp(String(keyword), 'u').test(value)
      ? []
      : [`${at}: ${value} does not match ${String(keyword)}`],
  format: ({ keyword, value, at }) => {
    const format = FORMATS[String(keyword)]
    if (format === undefined) throw new Error(`${at}: the format ${String(keyword)} is not known`)
    return typeof value !== 'string' || format(value) ? [] : [`${at}: ${value} is none`]
  },
  maxLength: bound((value) => (typeof value === 'string' ? value.length : undefined), 'most'),
  minimum: bound((value) => (typeof value === 'number' ? value : undefined), 'least'),
  maximum: bound((value) => (typeof value === 'number' ? value : undefined), 'most'),
  minItems: bound((value) => (Array.isArray(value) ? value.length : undefined), 'least'),
  maxItems: bound((value) => (Array.isArray(value) ? value.length : undefined), 'most'),
  minProperties: bound(
    (value) => (isObject(value) ? Object.keys(value).length : undefined),
    'least',
  ),
  items: ({ keyword, value, at, find }) =>
    Array.isArray(value)
      ? value.flatMap((item, index) => findFaults(item, schemaOf(keyword), find, `${at}[${index}]`))
      : [],
  required: ({ keyword, value, at }) =>
    isObject(value)
      ? listOf(keyword)
          .filter((name) => !Object.hasOwn(value, String(name)))
          .map((name) => `${at}.${String(name)}: missing`)
      : [],
  properties: ({ keyword, value, at, find }) =>
    isObject(value)
      ? Object.entries(schemaOf(keyword)).flatMap(([name, schema]) =>
          Object.hasOwn(value, name)
            ? findFaults(value[name], schemaOf(schema), find, `${at}.${name}`)
            : [],
        )
      : [],
  additionalProperties: ({ keyword, value, at, schema, find }) => {
    if (!isObject(value) || keyword === true) return []
    const known = Object.keys(schemaOf(schema['properties'] ?? {}))
    const others = Object.keys(value).filter((name) => !known.includes(name))
    return others.flatMap((name) =>
      keyword === false
        ? [`${at}.${name}: not described`]
        : findFaults(value[name], schemaOf(keyword), find, `${at}.${name}`),
    )
  },
  oneOf: ({ keyword, value, at, find }) => {
    const answers = listOf(keyword).map((each) => findFaults(value, schemaOf(each), find, at))
    const fitting = answers.filter((faults) => faults.length === 0).length
    if (fitting === 1) return []
    return [`${at}: ${fitting} of ${answers.length} forms fit`, ...answers.flat()]
  },
}

/** What is wrong with a value; `find` is where a `$ref` leads. */
export function findFaults(
  value: unknown,
  schema: Schema,
  find: (reference: string) => Schema,
  at = '$',
): readonly string[] {
  return Object.entries(schema)
    .filter(([name]) => !ANNOTATIONS.has(name))
    .flatMap(([name, keyword]) => {
      const check = CHECKS[name]
      if (check === undefined) throw new Error(`${at}: the keyword ${name} is not known`)
      return check({ keyword, value, at, schema, find })
    })
}

function bound(measure: (value: unknown) => number | undefined, kind: 'least' | 'most'): Check {
  return ({ keyword, value, at }) => {
    const size = measure(value)
    if (size === undefined) return []
    const fits = kind === 'least' ? size >= Number(keyword) : size <= Number(keyword)
    return fits ? [] : [`${at}: ${size}, at ${kind} ${String(keyword)}`]
  }
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

function isObject(value: unknown): value is Schema {
  return typeOf(value) === 'object'
}

function schemaOf(value: unknown): Schema {
  if (!isObject(value)) throw new Error('this is no schema')
  return value
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error('this is no list')
  return value
}
