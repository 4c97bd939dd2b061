// `entrepot images`: what is mirrored and hosted. Pages of the registry's answers are put together.

import type { Answer, Members } from './admin-answer.ts'
import { AdminClient } from './admin-client.ts'
import { EXIT } from './ending.ts'
import { formatImageArgument } from './image-argument.ts'
import type { ImagesAction, ImagesArguments } from './images-arguments.ts'
import { formatManifest, formatRepositories, formatRepository } from './images-format.ts'
import { printOutcome } from './outcome.ts'
import type { Outcome } from './outcome.ts'

/**
 * Prints what was asked for.
 * @throws {ArgumentError | Failure}
 */
export async function runImages({ action, ...registry }: ImagesArguments): Promise<number> {
  printOutcome(await run(await AdminClient.of(registry), action), registry.isJSON)
  return EXIT.fine
}

async function run(client: AdminClient, action: ImagesAction): Promise<Outcome> {
  if (action.what === 'list') {
    const { search, kind } = action
    const query = { ...(search && { search }), ...(kind && { kind }) }
    const { json, images } = await gatherImages(client, 'images', query)
    return { json, text: formatRepositories(images) }
  }
  const { image } = action
  const path = `images/${formatImageArgument(image)}`
  if (image.reference !== undefined) {
    const answer = await client.ask({ method: 'GET', path })
    return { json: answer.json, text: formatManifest(answer) }
  }
  const { json, first, images } = await gatherImages(client, path, {})
  return { json, text: formatRepository(first, images) }
}

/** All pages of a list. */
async function gatherImages(
  client: AdminClient,
  path: string,
  query: Readonly<Record<string, string>>,
): Promise<{ json: Members; first: Answer; images: readonly Answer[] }> {
  const ask = (last?: string): Promise<Answer> => {
    const search = new URLSearchParams({ ...query, ...(last !== undefined && { last }) })
    const asked = search.size === 0 ? path : `${path}?${search.toString()}`
    return client.ask({ method: 'GET', path: asked })
  }
  const first = await ask()
  const images = [...first.list('images')]
  let next = first.optionalText('next')
  while (next !== undefined) {
    const page = await ask(next)
    images.push(...page.list('images'))
    const after = page.optionalText('next')
    next = after === next ? undefined : after
  }
  const { next: _, ...others } = first.json
  return { json: { ...others, images: images.map((image) => image.json) }, first, images }
}
