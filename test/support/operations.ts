// Bindings that count what is asked of storage and objects, so that a test can hold a request to its
// budget, and bindings that fail.

import { env } from 'cloudflare:workers'

/** What was asked, e.g. `HINTS.getWithMetadata` or `MIRROR_LEDGER.tag`, in order. */
export interface Counted {
  readonly bindings: Readonly<Record<string, unknown>>
  readonly operations: string[]
}

const STORES = ['BLOBS', 'HINTS'] as const
const OBJECTS = ['MIRROR_LEDGER', 'BLOB_FILL', 'UPSTREAM_GATE'] as const

/** The bindings of an isolate, counted. */
export function count(): Counted {
  const operations: string[] = []
  const note = (name: string) => void operations.push(name)
  const bindings = Object.fromEntries([
    ...STORES.map((name) => [name, watch(env[name], (method) => note(`${name}.${method}`))]),
    ...OBJECTS.map((name) => [name, watchObjects(name, note)]),
  ])
  return { bindings, operations }
}

/** A binding whose every method fails: a store directly, an object's stub when it is called. */
export function broken(kind: 'store' | 'objects'): unknown {
  const fail = () => Promise.reject(new Error('storage is away'))
  const store = new Proxy({}, { get: (_, method) => (method === 'then' ? undefined : fail) })
  return kind === 'store' ? store : { getByName: () => store }
}

function watchObjects(name: (typeof OBJECTS)[number], note: (name: string) => void): unknown {
  const namespace: DurableObjectNamespace = env[name]
  return {
    getByName: (of: string) =>
      watch(namespace.getByName(of), (method) => note(`${name}.${method}`)),
  }
}

/** The target, with each method told before it is called. */
function watch(target: object, note: (method: string) => void): unknown {
  return new Proxy(target, {
    get: (_, key) => {
      const value: unknown = Reflect.get(target, key)
      if (typeof value !== 'function') return value
      return (...values: unknown[]): unknown => {
        note(String(key))
        return Reflect.apply(value, target, values)
      }
    },
  })
}
