// Mirrored or hosted is decided by the address alone, and no upstream stands in for a hosted name.

import { expect, it } from 'vitest'
import { parseConfig } from '../../src/config.ts'
import { resolveAddress } from '../../src/oci/address.ts'
import { RegistryError } from '../../src/oci/error.ts'
import { openForPull } from '../../src/registry/open.ts'

const config = parseConfig({ UPSTREAMS: { 'docker.io': {} }, HOSTED: ['hosted/**'] })

/** The repository that would be opened, or the code of the refusal. */
function open(name: string, upstreams = config.upstreams): string {
  const opened: string[] = []
  try {
    const address = resolveAddress({ name, base: undefined, ns: [] }, config.table)
    openForPull(address, {
      upstreams,
      mirrored: (upstream, { host, repository }) => {
        opened.push(`${upstream.url} ${host} ${repository}`)
        throw new RegistryError('UNKNOWN', { message: 'far enough' })
      },
    })
    return 'opened'
  } catch (error) {
    return opened[0] ?? (error instanceof RegistryError ? error.code : String(error))
  }
}

it.each([
  { name: 'nginx', want: 'https://registry-1.docker.io docker.io library/nginx' },
  { name: 'index.docker.io/a/b', want: 'https://registry-1.docker.io docker.io a/b' },
  { name: 'hosted/app', want: 'NAME_UNKNOWN' },
])('$name: $want', ({ name, want }) => {
  expect(open(name)).toBe(want)
})

it('knows no repository of an upstream that is not configured', () => {
  expect(open('nginx', new Map())).toBe('NAME_UNKNOWN')
})
