// The programs that the suite needs. A missing one fails the run with the name of its Debian package: a
// client that is not there proves nothing.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

const PACKAGES = {
  skopeo: 'skopeo',
  podman: 'podman',
  runc: 'runc',
  dockerd: 'docker.io',
  docker: 'docker.io',
  containerd: 'containerd',
  'containerd-shim-runc-v2': 'containerd',
  ctr: 'containerd',
  'docker-registry': 'docker-registry',
  openssl: 'openssl',
} as const satisfies Record<string, string>

/** One line per missing program. */
export function missingPrograms(): readonly string[] {
  return Object.entries(PACKAGES)
    .filter(([program]) => !isOnPath(program))
    .map(([program, debian]) => `${program} is missing: apt-get install ${debian}`)
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
