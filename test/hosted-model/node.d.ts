// What the model takes from Node; the rest of the tests run in workerd and know no Node.

declare module 'node:sqlite' {
  export interface StatementSync {
    all(...bindings: readonly unknown[]): Record<string, unknown>[]
  }

  export class DatabaseSync {
    constructor(path: string)
    exec(query: string): void
    prepare(query: string): StatementSync
    close(): void
  }
}

declare module 'node:crypto' {
  interface Hash {
    update(bytes: Uint8Array): Hash
    digest(): Uint8Array
  }

  export function createHash(algorithm: string): Hash
}

declare const process: { readonly env: Readonly<Record<string, string | undefined>> }
