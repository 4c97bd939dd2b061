// Follows a job to its end by asking how it stands. A registry that restarts meanwhile, or cannot answer, is asked
// again for a while: the job goes on by itself.

import { isOver } from '../src/jobs/job.ts'
import { AdminError } from './admin-client.ts'
import type { Job } from './job.ts'
import type { ProgressOutput } from './progress-output.ts'

/** What following needs. */
export interface FollowGiven {
  /** @throws {Failure} */
  readonly ask: (id: string) => Promise<Job>
  readonly output: ProgressOutput
  readonly sleep: (milliseconds: number) => Promise<void>
  readonly now: () => number
}

/** The first pause between two questions, the longest, and by how much each is longer than the one before. */
const FIRST = 150
const LONGEST = 2000
const GROWTH = 1.5
/** How long a registry that does not answer is asked again (milliseconds). */
export const PATIENCE = 120_000

/**
 * The job when it has ended.
 * @throws {Failure} where the registry refuses to say, or has not answered for too long.
 */
export async function followJob(begun: Job, given: FollowGiven): Promise<Job> {
  const { ask, output, sleep, now } = given
  let job = begun
  let seenAt = now()
  let pause = FIRST
  output.show(job)
  while (!isOver(job.state)) {
    await sleep(pause)
    pause = Math.min(LONGEST, pause * GROWTH)
    try {
      job = await ask(job.id)
      seenAt = now()
      output.show(job)
    } catch (error) {
      const isPassing = error instanceof AdminError && error.isPassing
      if (!isPassing || now() - seenAt > PATIENCE) throw error
      output.show(job, error.message)
    }
  }
  return job
}
