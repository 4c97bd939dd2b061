// What the Worker and its objects ask of storage and of each other, counted inside the runtime: the bindings are
// handed on with each method told before it is called. Bundled into the Worker that the bench starts.

/** How often each was asked for, e.g. `BLOBS.put` or `UPLOAD_SESSION.append`. */
export type Tellings = Readonly<Record<string, number>>

/** What lies in the bucket under a prefix. */
export interface Stored {
  readonly objects: number
  readonly bytes: number
}

/** Where the bench asks; nothing else begins so. */
export const PATHS = { operations: '/bench/operations', stored: '/bench/stored' } as const

const CONTENT = 'hosted/content/'
/** These begin or name a multipart upload: what they return is watched too. */
const MULTIPART = ['createMultipartUpload', 'resumeMultipartUpload'] as const

type Bindings = Readonly<Record<string, unknown>>

interface Bucket {
  readonly list: (options: { readonly prefix: string; readonly cursor?: string }) => Promise<{
    readonly objects: readonly { readonly size: number }[]
    readonly truncated: boolean
    readonly cursor?: string
  }>
}

interface Handler {
  readonly fetch: (request: Request, env: Bindings, ctx: unknown) => unknown
}

/** Counts what is asked of the bindings of one isolate. */
export class Operations {
  readonly #counts = new Map<string, number>()
  readonly #watched = new WeakMap<Bindings, Bindings>()

  /** Bindings that are counted: always the same for the same. */
  watch(env: Bindings): Bindings {
    const known = this.#watched.get(env)
    if (known !== undefined) return known
    const watched = Object.fromEntries(
      Object.entries(env).map(([name, binding]) => [name, this.#binding(name, binding)]),
    )
    this.#watched.set(env, watched)
    return watched
  }

  /** A handler whose bindings are counted, and which tells the bench. Being told starts anew. */
  handler(handler: Handler): Handler {
    return {
      fetch: async (request, env, ctx) => {
        const { pathname } = new URL(request.url)
        if (pathname === PATHS.operations) return Response.json(this.#take())
        if (pathname === PATHS.stored) return Response.json(await stored(env['BLOBS'] as Bucket))
        return handler.fetch(request, this.watch(env), ctx)
      },
    }
  }

  #take(): Tellings {
    const counts = Object.fromEntries(this.#counts)
    this.#counts.clear()
    return counts
  }

  #binding(name: string, binding: unknown): unknown {
    if (typeof binding !== 'object' || binding === null) return binding
    if ('getByName' in binding) {
      const namespace = binding as { readonly getByName: (of: string) => object }
      return { getByName: (of: string) => this.#methods(name, namespace.getByName(of)) }
    }
    if ('createMultipartUpload' in binding) return this.#bucket(name, binding)
    return 'getWithMetadata' in binding ? this.#methods(name, binding) : binding
  }

  #bucket(name: string, bucket: object): unknown {
    const multipart = Object.fromEntries(
      MULTIPART.map((method) => {
        const begin = Reflect.get(bucket, method) as (...values: unknown[]) => unknown
        return [
          method,
          (...values: unknown[]) => this.#multipart(name, begin.apply(bucket, values)),
        ]
      }),
    )
    return this.#methods(name, bucket, multipart)
  }

  /** Beginning is an operation, naming again what was begun is none. */
  #multipart(name: string, upload: unknown): unknown {
    if (!(upload instanceof Promise)) return this.#methods(name, upload as object)
    this.#note(`${name}.createMultipartUpload`)
    return upload.then((begun: object) => this.#methods(name, begun))
  }

  #methods(
    name: string,
    target: object,
    instead: Readonly<Record<string, (...values: unknown[]) => unknown>> = {},
  ): unknown {
    return new Proxy(target, {
      get: (_, key) => {
        const other = instead[String(key)]
        if (other !== undefined) return other
        const value: unknown = Reflect.get(target, key)
        if (typeof value !== 'function') return value
        return (...values: unknown[]): unknown => {
          this.#note(`${name}.${String(key)}`)
          return Reflect.apply(value, target, values)
        }
      },
    })
  }

  #note(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }
}

async function stored(bucket: Bucket): Promise<Stored> {
  const sizes: number[] = []
  let cursor: string | undefined
  do {
    const page = await bucket.list({ prefix: CONTENT, ...(cursor !== undefined && { cursor }) })
    sizes.push(...page.objects.map(({ size }) => size))
    cursor = page.truncated ? page.cursor : undefined
  } while (cursor !== undefined)
  return { objects: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) }
}
