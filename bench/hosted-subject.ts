// Who is pushed to: the registry of this repository with everything under `bench/` hosted and open to anybody,
// and the reference registry as it is.

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { Child } from './call.ts'
import { Isolate } from './isolate.ts'
import { PATHS, type Stored, type Tellings } from './operations.ts'
import type { RegistryCalls } from './registry-process.ts'
import {
  type Subject,
  type SubjectOptions,
  freePort,
  startReference,
  workerdOf,
} from './subject.ts'

const REPOSITORIES = ['bench/**']

/** A registry that is pushed to. */
export interface HostedSubject extends Subject {
  /** What was asked of storage and objects since the last time; `undefined` where nobody counts. */
  readonly operations: () => Promise<Tellings | undefined>
  /** The bytes of blobs that it keeps. */
  readonly stored: () => Promise<Stored>
}

/** This repository's registry. */
export async function startHosted({ folder }: SubjectOptions): Promise<HostedSubject> {
  const vars = {
    HOSTED: JSON.stringify(REPOSITORIES),
    ANONYMOUS: JSON.stringify([
      { repositories: REPOSITORIES, actions: ['pull', 'push', 'delete'] },
    ]),
  }
  const registry = new Child<RegistryCalls>('registry-process.ts')
  try {
    const inspectorPort = await freePort()
    const { address, pid } = await registry.call('start', { folder, vars, inspectorPort })
    const ask = async (path: string) => (await fetch(`${address}${path}`)).json()
    // The isolate does not run before it is asked for something.
    await ask('/v2/')
    const isolate = await Isolate.attach(inspectorPort)
    return {
      name: 'entrepot',
      base: (repository) => `${address}/v2/${repository}`,
      pid: await workerdOf(pid),
      isolate,
      operations: async () => (await ask(PATHS.operations)) as Tellings,
      stored: async () => (await ask(PATHS.stored)) as Stored,
      close: async () => {
        isolate.close()
        await registry.close()
      },
    }
  } catch (error) {
    await registry.close()
    throw error
  }
}

/** The reference registry. */
export async function startHostedPeer({ folder }: SubjectOptions): Promise<HostedSubject> {
  const subject = await startReference({ folder }, '')
  return { ...subject, operations: async () => undefined, stored: () => storedUnder(folder) }
}

/** The reference registry keeps the bytes of each blob in a file `data`. */
async function storedUnder(folder: string): Promise<Stored> {
  const root = join(folder, 'docker', 'registry', 'v2', 'blobs')
  const names = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('/data'))
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(root, name))).size))
  return { objects: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) }
}
