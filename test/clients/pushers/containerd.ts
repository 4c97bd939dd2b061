// containerd, of Debian and of the second series: an index of two platforms, from an archive, pushed in whole blobs.

import { expectBytes } from '../client.ts'
import { Containerd } from '../containerd.ts'
import { installGoProgram } from '../go-program.ts'
import { buildImage, partsOf } from '../image.ts'
import { archiveImage } from '../oci-layout.ts'
import type { Workspace } from '../process.ts'
import { GO_PROGRAMS } from '../programs.ts'
import { type Pusher, TAG } from '../pusher.ts'

/** Debian's. */
export async function containerdPusher(workspace: Workspace): Promise<Pusher> {
  const release = { name: 'containerd-push', containerd: 'containerd', ctr: 'ctr' }
  return pusherOf(workspace, 'containerd', await Containerd.start(workspace, release))
}

/** The newer one, whose `ctr` has the daemon itself push and pull. */
export async function containerd2Pusher(workspace: Workspace): Promise<Pusher> {
  const release = {
    name: 'containerd-2',
    containerd: await installGoProgram(workspace, GO_PROGRAMS.containerd),
    ctr: await installGoProgram(workspace, GO_PROGRAMS.ctr),
  }
  return pusherOf(workspace, 'containerd 2', await Containerd.start(workspace, release))
}

/** `ctr images import`, `push` and `pull`; it mounts what it has pulled from another repository. */
async function pusherOf(workspace: Workspace, name: string, daemon: Containerd): Promise<Pusher> {
  const image = { ...buildImage(name.replace(' ', '-')), tag: TAG }
  const { manifests, blobs } = partsOf(image, 'all')
  const archive = await archiveImage(workspace, `push-${name}`, image)
  const push = async (reference: string): Promise<string> => {
    await daemon.empty()
    const base = reference.slice(0, reference.lastIndexOf(':'))
    const flags = ['--all-platforms', '--no-unpack', '--base-name', base]
    await daemon.ctr('images', 'import', ...flags, archive)
    await daemon.ctr('images', 'push', '--plain-http', reference)
    return image.top.digest
  }
  const pull = async (reference: string): Promise<void> => {
    await daemon.empty()
    const flags = ['--plain-http', '--all-platforms', '--snapshotter', 'native']
    await daemon.ctr('images', 'pull', ...flags, reference)
    for (const part of [...manifests, ...blobs]) expectBytes(part, daemon.content(part.digest))
  }
  const copy = async (source: string, target: string): Promise<void> => {
    await pull(source)
    await daemon.ctr('images', 'tag', source, target)
    await daemon.ctr('images', 'push', '--plain-http', target)
  }
  return { name, push, pull, copy }
}
