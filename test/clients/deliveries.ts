// How blobs have reached clients, by the registry's own log: sent to storage, or streamed.

import { expectEqual } from './client.ts'
import { content } from './image.ts'
import { waitUntil } from './process.ts'
import { pushBlob } from './push.ts'
import type { LoggedRequest, Registry } from './registry.ts'

/** The GETs of blobs that were answered with one. */
export interface Deliveries {
  /** Answered 307. */
  readonly redirected: number
  /** Answered 200 or 206. */
  readonly streamed: number
}

/** The blob by which a registry's storage is tried. */
const TRIED = content('application/octet-stream', Buffer.from('the first to be redirected\n'))

/** Where a registry that hosts keeps it. */
export const HOSTED_TRIED = 'hosted/tried'

/** Storage that has failed is asked again after 30 s (milliseconds). */
const RETRIED_WITHIN = 45_000

/** How a registry comes to a blob that it can redirect to. */
export interface Trial {
  /** Where the blob is pushed. */
  readonly upstream: string
  /** There, and at the registry. */
  readonly repository: string
  readonly name: string
  readonly authorization?: string
}

/**
 * Has a registry try its storage before anything is counted: the first redirect of a process waits for that, and
 * whoever comes meanwhile is streamed.
 */
export async function tryStorage(
  { url }: Pick<Registry, 'url'>,
  { upstream, repository, name, authorization }: Trial,
): Promise<void> {
  await pushBlob(upstream, repository, TRIED)
  await expectReady(url, name, authorization)
}

/** The same after a restart, or after work under which storage may not have answered in time. */
export async function retryStorage({ url }: Registry, name: string): Promise<void> {
  await expectReady(url, name)
}

async function expectReady(url: string, name: string, authorization?: string): Promise<void> {
  const headers = authorization === undefined ? {} : { Authorization: authorization }
  const isRedirecting = async (): Promise<boolean> => {
    const path = `/v2/${name}/blobs/${TRIED.digest}`
    const response = await fetch(`${url}${path}`, { redirect: 'manual', headers })
    await response.arrayBuffer()
    return response.status === 307
  }
  await waitUntil('the registry redirects', isRedirecting, RETRIED_WITHIN)
}

/** What an action was given of a repository's blobs, or of everybody's. The name may lack the upstream's host. */
export async function deliveries(
  registry: Registry,
  repository: string | undefined,
  action: () => Promise<unknown>,
): Promise<Deliveries> {
  const before = (await registry.logged()).length
  await action()
  const blobs = (await registry.logged())
    .slice(before)
    .filter((one) => one.method === 'GET' && one.endpoint === 'blob' && isOf(repository, one))
  const count = (...statuses: readonly number[]): number =>
    blobs.filter(({ status }) => statuses.includes(status)).length
  return { redirected: count(307), streamed: count(200, 206) }
}

/** Fails unless the action read blobs, each of them from storage; returns how many. */
export async function expectRedirected(
  registry: Registry,
  repository: string,
  action: () => Promise<unknown>,
): Promise<string> {
  const found = await deliveries(registry, repository, action)
  expectEqual(`${textOf(found)}; some redirected`, found.redirected > 0, true)
  expectEqual(`${textOf(found)}; streamed`, found.streamed, 0)
  return textOf(found)
}

/** Fails unless the action read blobs, each of them from the registry itself; returns how many. */
export async function expectStreamed(
  registry: Registry,
  repository: string,
  action: () => Promise<unknown>,
): Promise<string> {
  const found = await deliveries(registry, repository, action)
  expectEqual(`${textOf(found)}; some streamed`, found.streamed > 0, true)
  expectEqual(`${textOf(found)}; redirected`, found.redirected, 0)
  return textOf(found)
}

/** As it stands in a report. */
export function textOf({ redirected, streamed }: Deliveries): string {
  const parts = [
    ...(redirected > 0 ? [`${redirected} redirected`] : []),
    ...(streamed > 0 ? [`${streamed} streamed`] : []),
  ]
  return `blobs: ${parts.length === 0 ? 'none' : parts.join(', ')}`
}

function isOf(wanted: string | undefined, { repository = '' }: LoggedRequest): boolean {
  return wanted === undefined || repository === wanted || repository.endsWith(`/${wanted}`)
}
