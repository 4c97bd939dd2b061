// helm: a chart, pushed as the archive that it is and pulled by version and by range of versions.

import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { expectEqual } from '../client.ts'
import { digestOf } from '../image.ts'
import { installGoProgram } from '../go-program.ts'
import type { Workspace } from '../process.ts'
import { GO_PROGRAMS } from '../programs.ts'
import { type Pusher, TAG } from '../pusher.ts'

/** `helm package`, `push` and `pull`; the chart's name is the repository's last component. */
export async function helmPusher(workspace: Workspace): Promise<Pusher> {
  const command = await installGoProgram(workspace, GO_PROGRAMS.helm)
  const folder = await workspace.folderOf('helm')
  const env = { HELM_CACHE_HOME: folder, HELM_CONFIG_HOME: folder, HELM_DATA_HOME: folder }
  const helm = async (...args: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await workspace.run({ command, args, env })
    return stdout + stderr
  }
  const push = async (reference: string): Promise<string> => {
    const { name, url } = partsOf(reference)
    const archive = join(folder, `${name}-${TAG}.tgz`)
    if (!existsSync(archive)) {
      await writeChart(join(folder, name), name)
      await helm('package', '--destination', folder, join(folder, name))
    }
    const said = await helm('push', '--plain-http', archive, url)
    return /^Digest: (\S+)$/m.exec(said)?.[1] ?? said
  }
  const pull = async (reference: string): Promise<void> => {
    const { name, url } = partsOf(reference)
    const pushed = digestOf(await readFile(join(folder, `${name}-${TAG}.tgz`)))
    for (const version of [TAG, '^1.0']) {
      const back = await workspace.folderOf(`helm-back-${randomUUID()}`)
      const flags = ['--plain-http', '--version', version, '--destination', back]
      await helm('pull', ...flags, `${url}/${name}`)
      const found = digestOf(await readFile(join(back, `${name}-${TAG}.tgz`)))
      expectEqual(`digest of version ${version}`, found, pushed)
    }
  }
  return {
    name: 'helm',
    push,
    pull,
    login: async (host, { name, file }) => {
      const flags = ['--plain-http', '--username', name, '--password-stdin']
      await workspace.run({
        command,
        args: ['registry', 'login', ...flags, host],
        env,
        stdin: file,
      })
    },
    logout: async (host) => {
      await helm('registry', 'logout', host)
    },
  }
}

function partsOf(reference: string): { name: string; url: string } {
  const repository = reference.slice(0, reference.lastIndexOf(':'))
  return { name: basename(repository), url: `oci://${dirname(repository)}` }
}

async function writeChart(folder: string, name: string): Promise<void> {
  await mkdir(join(folder, 'templates'), { recursive: true })
  await writeFile(join(folder, 'Chart.yaml'), `apiVersion: v2\nname: ${name}\nversion: ${TAG}\n`)
  const data = randomBytes(256 * 1024).toString('base64')
  const map = `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\ndata:\n  text: ${data}\n`
  await writeFile(join(folder, 'templates', 'map.yaml'), map)
}
