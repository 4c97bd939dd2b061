// `entrepot prefetch`: fetches images of the command line and of a list into the mirror.

import { readFile } from 'node:fs/promises'
import { text as readAll } from 'node:stream/consumers'

import { Failure, describeFault } from './failure.ts'
import { requireImage } from './image-argument.ts'
import { runOrder } from './job-run.ts'
import type { PrefetchArguments } from './prefetch-arguments.ts'

/**
 * Orders it and follows it.
 * @throws {ArgumentError | Failure}
 */
export async function runPrefetch(args: PrefetchArguments): Promise<number> {
  const { images: named, file, platforms, ...others } = args
  const listed = file === undefined ? [] : parseList(file, await readList(file))
  const images = [...new Set([...named, ...listed])]
  if (images.length === 0) throw new Failure(`${file} has no image in it`)
  const order = { kind: 'prefetch', images, ...(platforms && { platforms }) } as const
  return runOrder({ ...others, order })
}

/** The images of a list. @throws {ArgumentError} that says on which line there is none. */
export function parseList(file: string, text: string): readonly string[] {
  return text.split('\n').flatMap((line, index) => {
    const image = line.replace(/#.*/, '').trim()
    return image === '' ? [] : [requireImage(`${file}, line ${index + 1}`, image)]
  })
}

async function readList(file: string): Promise<string> {
  if (file === '-') return readAll(process.stdin)
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Failure(`cannot read ${file}: ${describeFault(cause)}`, { cause })
  })
}
