// The suite of real clients: `npm run test:clients`, or with a part of a group's name to run only those rows. The groups
// of clients that push begin with `push`, those about logins with `access`, those about redirects alone with `redirect`.

import { accessRows, asksForAccess } from './access-rows.ts'
import { HOSTED_TRIED, tryStorage } from './deliveries.ts'
import { expectGo } from './go-program.ts'
import { LARGE_GROUP, largeRows } from './large-rows.ts'
import { mirrorRows } from './mirror-rows.ts'
import { Workspace } from './process.ts'
import { missingPrograms } from './programs.ts'
import { asksForPushes, Pushers, pushRows } from './push-rows.ts'
import { REDIRECT_GROUP, redirectRows } from './redirect-rows.ts'
import { Registry } from './registry.ts'
import { Suite, write } from './suite.ts'

async function play(asked: string, suite: Suite, workspace: Workspace): Promise<void> {
  const asksForHosted = asksForPushes(suite) || suite.includes(LARGE_GROUP)
  const asksForRedirects = suite.includes(REDIRECT_GROUP)
  if (asksForHosted || asksForAccess(suite) || asksForRedirects) await expectGo(workspace)
  if (!/^(push|access|redirect)/.test(asked)) await mirrorRows(suite, workspace)
  await redirectRows(suite, workspace)
  const pushers = new Pushers(workspace)
  if (asksForHosted) await hostedRows(suite, workspace, pushers)
  if (asksForAccess(suite)) await accessRows(suite, workspace, pushers)
}

/** Everything that is pushed, to an entrepot that lets everybody push. */
async function hostedRows(suite: Suite, workspace: Workspace, pushers: Pushers): Promise<void> {
  const registry = await Registry.start(workspace, 'hosted', {
    HOSTED: ['hosted/**'],
    ANONYMOUS: [{ repositories: ['hosted/**'], actions: ['pull', 'push', 'delete'] }],
  })
  const trial = { upstream: registry.url, repository: HOSTED_TRIED, name: HOSTED_TRIED }
  await tryStorage(registry, trial)
  await pushRows(suite, workspace, { target: registry, pushers })
  await largeRows(suite, workspace, registry)
}

async function main(): Promise<number> {
  const missing = missingPrograms()
  if (missing.length > 0) {
    write(missing.join('\n'))
    return 1
  }
  if (process.getuid?.() !== 0) {
    write('the daemons of this suite (dockerd, containerd, podman) need root')
    return 1
  }
  const asked = process.argv.slice(2).join(' ')
  const workspace = new Workspace()
  const suite = new Suite(asked, () => workspace.tails(12))
  try {
    await play(asked, suite, workspace)
    return suite.finish() ? 0 : 1
  } catch (error) {
    write(`${workspace.tails(30)}\n${error instanceof Error ? error.stack : String(error)}`)
    return 1
  } finally {
    await workspace.close()
  }
}

process.exit(await main())
