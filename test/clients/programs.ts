// The programs that the suite needs. A missing one fails the run with the name of its Debian package: a
// client that is not there proves nothing.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { GoProgram } from './go-program.ts'

const PACKAGES = {
  buildah: 'buildah',
  umoci: 'umoci',
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

const CONTAINERD = {
  version: 'v2.2.3',
  tags: ['no_cri', 'no_btrfs', 'no_zfs', 'no_devmapper', 'no_aufs', 'no_tracing'],
} as const

/**
 * The clients that come as Go modules, in releases that Go 1.24 builds. Of containerd, without what a push or pull
 * does not touch.
 */
export const GO_PROGRAMS = {
  crane: { path: 'github.com/google/go-containerregistry/cmd/crane', version: 'v0.20.7' },
  regctl: { path: 'github.com/regclient/regclient/cmd/regctl', version: 'v0.11.1' },
  oras: { path: 'oras.land/oras/cmd/oras', version: 'v1.2.3' },
  helm: { path: 'helm.sh/helm/v3/cmd/helm', version: 'v3.19.5' },
  containerd: { ...CONTAINERD, path: 'github.com/containerd/containerd/v2/cmd/containerd' },
  ctr: { ...CONTAINERD, path: 'github.com/containerd/containerd/v2/cmd/ctr' },
} as const satisfies Record<string, GoProgram>

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
