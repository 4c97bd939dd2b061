// docs/openapi.json as tests look at it: its operations, where its references lead, and what is wrong with an answer.

import source from '../../docs/openapi.json?raw'
import { findFaults } from './json-schema.ts'
import type { Schema } from './json-schema.ts'

/** The methods that a path of the document can have. */
const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const

interface Media {
  readonly schema: Schema
  readonly example?: unknown
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>
}

interface Parameter {
  readonly name: string
  readonly in: string
  readonly description: string
  readonly required?: boolean
  readonly schema: Schema
  readonly example?: unknown
}

interface Answer {
  readonly $ref?: string
  readonly description: string
  readonly content?: Readonly<Record<string, Media>>
}

/** One method of one path. */
export interface Operation {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> }
  readonly responses: Readonly<Record<string, Answer>>
}

type Item = Readonly<Partial<Record<(typeof METHODS)[number], Operation>>>

interface OpenAPI {
  readonly openapi: string
  readonly tags: readonly { readonly name: string }[]
  readonly paths: Readonly<Record<string, Item>>
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** An operation, and where it is. */
export interface Documented {
  readonly path: string
  readonly method: string
  readonly operation: Operation
}

/** The document. */
export const DOCUMENT: OpenAPI = JSON.parse(source)

/** All operations. */
export function operations(): readonly Documented[] {
  return Object.entries(DOCUMENT.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method]
      return operation === undefined ? [] : [{ path, method: method.toUpperCase(), operation }]
    }),
  )
}

/** Where a reference leads. */
export function resolve(reference: string): Schema {
  const names = reference.replace(/^#\//, '').split('/')
  const found = names.reduce<unknown>((of, name) => {
    return typeof of === 'object' && of !== null ? Reflect.get(of, name) : undefined
  }, DOCUMENT)
  if (found === undefined) throw new Error(`${reference} leads nowhere`)
  // Whatever is referred to is an object, as the tests of the document say.
  return found as Schema
}

/** The answer of an operation with that status, as the document has it. */
export function answerOf({ operation }: Documented, status: number): Answer | undefined {
  const answer = operation.responses[String(status)]
  // Only answers stand there.
  return answer?.$ref === undefined ? answer : (resolve(answer.$ref) as unknown as Answer)
}

/** What is wrong with a value of a schema of the document. */
export function faultsOf(value: unknown, schema: Schema): readonly string[] {
  return findFaults(value, schema, resolve)
}

/** A path with the examples of its parameters in their places. */
export function exampleOf({ path, operation }: Documented): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const parameter = operation.parameters?.find((each) => each.in === 'path' && each.name === name)
    if (parameter === undefined) throw new Error(`${path} does not describe ${name}`)
    return String(parameter.example)
  })
}

/** Everything in the document that has a schema, with its examples. */
export function media(): readonly { readonly of: string; readonly media: Media }[] {
  return operations().flatMap((documented) => {
    const { operationId, requestBody, responses } = documented.operation
    const bodies = Object.values(requestBody?.content ?? {})
    const answers = Object.keys(responses).flatMap((status) =>
      Object.values(answerOf(documented, Number(status))?.content ?? {}),
    )
    return [...bodies, ...answers].map((each) => ({ of: operationId, media: each }))
  })
}
