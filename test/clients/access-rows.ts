// Everything about who may do what: clients that log in, capabilities, and what became of the secrets.

import { canaryRows } from './canary-rows.ts'
import { capabilityRows } from './capability-rows.ts'
import { Containerd } from './containerd.ts'
import { loginRows } from './login-rows.ts'
import { setLoginStage } from './login-stage.ts'
import type { Workspace } from './process.ts'
import type { Pushers } from './push-rows.ts'
import type { Suite } from './suite.ts'
import { tokenRows } from './token-rows.ts'

/** Who logs in. */
const CLIENTS = [
  'docker',
  'containerd',
  'containerd 2',
  'podman',
  'skopeo',
  'crane',
  'oras',
  'regctl',
  'helm',
] as const

const CAPABILITY_GROUP = 'access capability'
const TOKEN_GROUP = 'access tokens'
const CANARY_GROUP = 'access canary'

/** Whether any of these rows is asked for. */
export function asksForAccess(suite: Suite): boolean {
  const groups = [...CLIENTS.map(groupOf), CAPABILITY_GROUP, TOKEN_GROUP, CANARY_GROUP]
  return groups.some((group) => suite.includes(group))
}

/** All rows that are asked for, with an entrepot of their own. */
export async function accessRows(
  suite: Suite,
  workspace: Workspace,
  pushers: Pushers,
): Promise<void> {
  const stage = await setLoginStage(workspace, CLIENTS)
  for (const name of CLIENTS) {
    const group = groupOf(name)
    if (suite.includes(group)) await loginRows(suite, stage, group, await pushers.get(name))
  }
  if (suite.includes(CAPABILITY_GROUP)) {
    const release = { name: 'containerd-access', containerd: 'containerd', ctr: 'ctr' }
    const daemon = await Containerd.start(workspace, release)
    await capabilityRows(suite, CAPABILITY_GROUP, stage, daemon)
  }
  await tokenRows(suite, TOKEN_GROUP, stage)
  if (suite.includes(CANARY_GROUP)) await canaryRows(suite, CANARY_GROUP, stage)
}

function groupOf(name: string): string {
  return `access ${name}`
}
