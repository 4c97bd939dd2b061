// Where the bare Worker is asked for what.

/** What it does, by the first word of the path; what follows is a key, which is a SHA-256 in hex. */
export const FLOOR_PATHS = {
  memory: '/memory',
  kv: '/kv',
  proxy: '/proxy',
  head: '/head/',
  get: '/get/',
  put: '/put/',
  fetchAndPut: '/fetch-and-put/',
  fetchAndPutParts: '/fetch-and-put-parts/',
} as const
