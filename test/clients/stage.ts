// What the rows play on: upstreams, token service, and entrepots that know them, all of one workspace.

import { DOCKER_HUB, OTHER_HOST } from './client.ts'
import { tryStorage } from './deliveries.ts'
import type { Workspace } from './process.ts'
import { Registry } from './registry.ts'
import { TokenService } from './token-service.ts'
import { Upstream } from './upstream.ts'

/** A host whose upstream asks for tokens, which it gives to everybody. */
export const TOKEN_HOST = 'token.test'

/** The TTL of tags in the entrepot whose tags expire while the suite runs. */
export const BRIEF_TTL = 2_000

/** The repository by which storage is tried. */
const TRIED = 'team/tried'
export const TRIED_NAME = `${OTHER_HOST}/${TRIED}`

/** The peers that most rows share. */
export interface Stage {
  readonly workspace: Workspace
  readonly plain: Upstream
  /** Behind the token service; serves what was pushed to `plain`. */
  readonly guarded: Upstream
  readonly tokens: TokenService
  /** Its tags stay fresh for the whole run. */
  readonly steady: Registry
  /** Its tags are fresh for `BRIEF_TTL`. */
  readonly brief: Registry
}

/** Starts everything. */
export async function setStage(workspace: Workspace): Promise<Stage> {
  const plain = await Upstream.start(workspace, 'plain')
  const tokens = await TokenService.start(workspace)
  const guarded = await Upstream.start(workspace, 'guarded', {
    storage: 'plain',
    token: tokens.settings,
  })
  const varsOf = (tagTTL: string): Record<string, unknown> => ({
    UPSTREAMS: {
      [DOCKER_HUB]: { url: plain.url, tagTTL },
      [OTHER_HOST]: { url: plain.url, tagTTL },
      [TOKEN_HOST]: { url: guarded.url, tagTTL },
    },
    DEFAULT_UPSTREAM: DOCKER_HUB,
  })
  const steady = await Registry.start(workspace, 'steady', varsOf('1h'))
  await tryStorage(steady, { upstream: plain.url, repository: TRIED, name: TRIED_NAME })
  return {
    workspace,
    plain,
    guarded,
    tokens,
    steady,
    brief: await Registry.start(workspace, 'brief', varsOf(`${BRIEF_TTL / 1000}s`)),
  }
}
