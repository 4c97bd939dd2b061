// podman: an image loaded from an archive, pushed in layers that podman compresses itself.

import { expectEqual } from '../client.ts'
import { buildImage } from '../image.ts'
import { archiveImage } from '../oci-layout.ts'
import { PodmanStore } from '../podman-store.ts'
import type { Workspace } from '../process.ts'
import { type Pusher, TAG } from '../pusher.ts'
import { pushWithDigest } from './buildah.ts'

/** `podman pull oci-archive:…`, `push`, `pull` and `run`. */
export async function podmanPusher(workspace: Workspace): Promise<Pusher> {
  const image = { ...buildImage('podman', { isIndex: false }), tag: TAG }
  const archive = await archiveImage(workspace, 'push-podman', image)
  const store = new PodmanStore(workspace, 'podman-push')
  const podman = (...args: readonly string[]): Promise<string> => store.podman(args)
  let loaded = ''
  let last = ''
  return {
    name: 'podman',
    push: async (reference) => {
      await store.empty()
      loaded = await podman('pull', '--quiet', `oci-archive:${archive}`)
      return pushWithDigest(podman, await store.folder(), loaded, reference)
    },
    pull: async (reference) => {
      await store.empty()
      const pulled = await podman('pull', '--quiet', '--tls-verify=false', reference)
      expectEqual('ID of the image', pulled, loaded)
      last = reference
    },
    login: async (host, { name, file }) => {
      const flags = ['--tls-verify=false', '--username', name, '--password-stdin']
      await store.podman(['login', ...flags, host], { stdin: file })
    },
    logout: async (host) => {
      await podman('logout', host)
    },
    run: async () => expectEqual('its output', await store.run(last), image.line),
    copy: async (source, target) => {
      await podman('pull', '--quiet', '--tls-verify=false', source)
      await podman('push', '--quiet', '--tls-verify=false', source, target)
    },
  }
}
