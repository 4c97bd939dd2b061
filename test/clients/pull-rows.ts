// The table of pulls: every client cold, warm, after the TTL, with the upstream stopped, and after a restart.

import { type Client, expectEqual } from './client.ts'
import { deliveries, expectRedirected, textOf as textOfBlobs } from './deliveries.ts'
import { partsOf } from './image.ts'
import { waitUntil } from './process.ts'
import { BRIEF_TTL, type Stage } from './stage.ts'
import type { Suite } from './suite.ts'
import type { Counts, Upstream } from './upstream.ts'

/** A client and the upstream that its requests end at. */
export interface Case {
  readonly client: Client
  readonly upstream: Upstream
  /** Token requests of a cold pull. */
  readonly coldTokens: number
}

/** When a pull through `brief` last ended, hence after which its tag is fresh no longer. */
export type PulledAt = Map<string, number>

/** The rows that need the upstream. */
export async function pullRows(
  suite: Suite,
  stage: Stage,
  { client, upstream, coldTokens }: Case,
): Promise<PulledAt> {
  const { steady, brief, tokens } = stage
  const { repository } = client.image
  const { manifests, blobs } = partsOf(client.image, client.parts)
  const pulledAt: PulledAt = new Map()
  const counted = async (action: () => Promise<void>): Promise<Counts & { tokens: number }> => {
    const before = tokens.requests.length
    const counts = await upstream.count(repository, action)
    return { ...counts, tokens: tokens.requests.length - before }
  }
  await suite.row(client.name, 'cold pull', async () => {
    const pull = (): Promise<void> => client.pull(steady)
    let counts: Counts & { tokens: number } = NOTHING
    const delivered = await deliveries(steady, repository, async () => {
      counts = await counted(pull)
    })
    // Small blobs may be stored before they are answered.
    expectEqual(`${textOfBlobs(delivered)}; some streamed`, delivered.streamed > 0, true)
    expectEqual('manifest GETs', counts.manifestGETs, manifests.length)
    expectEqual('blob GETs', counts.blobGETs, blobs.length)
    expectEqual('token requests', counts.tokens, coldTokens)
    expectEqual('other requests', counts.other, 0)
    // A client that begins with a HEAD may have it passed on: it is free on Docker Hub.
    expectEqual('at most one manifest HEAD', counts.manifestHEADs <= 1, true)
    return `${textOf(counts)}; ${textOfBlobs(delivered)}`
  })
  await suite.row(client.name, 'warm pull within the TTL', async () => {
    let delivered = ''
    const counts = await counted(async () => {
      delivered = await expectRedirected(steady, repository, () => client.pull(steady))
    })
    expectEqual('upstream requests', textOf(counts), textOf(NOTHING))
    return `${textOf(counts)}; ${delivered}`
  })
  const { run } = client
  if (run !== undefined) {
    await suite.row(client.name, 'a container runs from what was pulled', async () => {
      const printed = (await run()).trim()
      expectEqual('its output', printed, client.image.line)
      return printed
    })
  }
  await suite.row(client.name, 'pull after the TTL', async () => {
    await client.pull(brief)
    await pastTTL(Date.now())
    const counts = await counted(() => client.pull(brief))
    expectEqual('upstream requests', textOf(counts), textOf({ ...NOTHING, manifestHEADs: 1 }))
    pulledAt.set(client.name, Date.now())
    return textOf(counts)
  })
  return pulledAt
}

/** The rows that need the upstream to be gone. */
export async function stoppedRows(
  suite: Suite,
  stage: Stage,
  client: Client,
  pulledAt: PulledAt,
): Promise<void> {
  await suite.row(client.name, 'pull of a stale tag, upstream stopped', async () => {
    await pastTTL(pulledAt.get(client.name) ?? Date.now())
    await client.pull(stage.brief)
  })
}

/** The row that needs the upstream to be gone and entrepot to have been restarted. */
export async function restartRows(suite: Suite, stage: Stage, client: Client): Promise<void> {
  await suite.row(client.name, 'pull after a restart, upstream stopped', () =>
    expectRedirected(stage.steady, client.image.repository, () => client.pull(stage.steady)),
  )
}

/** Waits until what was confirmed at `time`, or before, is certainly older than the brief TTL. */
export async function pastTTL(time: number): Promise<void> {
  await waitUntil('the TTL has passed', () => Date.now() > time + BRIEF_TTL)
}

const NOTHING = { manifestGETs: 0, manifestHEADs: 0, blobGETs: 0, other: 0, tokens: 0 }

function textOf(counts: Counts & { tokens: number }): string {
  const { manifestGETs, manifestHEADs, blobGETs, other, tokens } = counts
  const parts = [
    [tokens, 'token'],
    [manifestHEADs, 'manifest HEAD'],
    [manifestGETs, 'manifest GET'],
    [blobGETs, 'blob GET'],
    [other, 'other'],
  ] as const
  const some = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
  return some.length === 0 ? 'upstream: nothing' : `upstream: ${some.join(', ')}`
}
