// The progress of bytes that this program itself moves, shown as that of a job is.

import type { RegistryArguments } from './admin-arguments.ts'
import { onEnding, statusOf } from './ending.ts'
import type { Passed } from './export-transfer.ts'
import type { Job } from './job.ts'
import { NO_PROGRESS, progressOn } from './progress-output.ts'

/** What is moved, and whether anybody watches. */
export interface Transfer {
  readonly kind: string
  readonly title: string
  readonly registry: Pick<RegistryArguments, 'isJSON'>
}

/** Does it, and shows how far it is. */
export async function showingTransfer<Value>(
  { kind, title, registry }: Transfer,
  move: (passed: Passed) => Promise<Value>,
): Promise<Value> {
  const isWatched = !registry.isJSON && process.stderr.isTTY
  const output = isWatched ? progressOn(process.stderr) : NO_PROGRESS
  onEnding((ending) => {
    output.close()
    process.exit(statusOf(ending))
  })
  try {
    return await move((done, total) => {
      output.show(transferOf({ kind, title, done, total }))
    })
  } finally {
    output.close()
  }
}

function transferOf(given: {
  readonly kind: string
  readonly title: string
  readonly done: number
  readonly total: number
}): Job {
  const { kind, title, done, total } = given
  return {
    id: '',
    kind,
    title,
    state: 'running',
    by: '',
    createdAt: '',
    endedAt: undefined,
    until: undefined,
    progress: { done, total, unit: 'bytes' },
    note: '',
    result: {},
    json: {},
  }
}
