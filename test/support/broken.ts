// Bindings that fail: a real one behind a proxy in which some methods are replaced.

/** `target` with other methods; a method that is not named works as before. */
export function broken<Target extends object>(
  target: Target,
  methods: Readonly<Record<string, (...args: never[]) => unknown>>,
): Target {
  return new Proxy(target, {
    get(_, name) {
      const replaced = typeof name === 'string' ? methods[name] : undefined
      if (replaced !== undefined) return replaced
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Fails as R2 does when it is away. */
export async function storageIsAway(): Promise<never> {
  throw new Error('We encountered an internal error. Please try again. (10001)')
}

/** Never answers. */
export function silence(): Promise<never> {
  return new Promise(() => undefined)
}

/** A body that fails after so many bytes. */
export function cutBody(body: ReadableStream<Uint8Array>, after: number): ReadableStream {
  const reader = body.getReader()
  let left = after
  return new ReadableStream({
    type: 'bytes',
    async pull(controller) {
      const { value } = await reader.read()
      const piece = value?.subarray(0, left) ?? new Uint8Array()
      left -= piece.byteLength
      if (piece.byteLength > 0) controller.enqueue(piece.slice())
      else controller.error(new Error('Network connection lost.'))
    },
    cancel: (reason) => reader.cancel(reason),
  })
}
