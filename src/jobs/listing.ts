// Which jobs there are, the newest first. Durable Objects cannot be listed; an empty object in R2 for each job can, and
// its metadata say how the job stood when it began or ended.

import { JOBS_PREFIX, jobKey } from '../storage/keys.ts'
import type { JobStatus } from './job.ts'

/** Characters of each text in the metadata … */
const MAX_TEXT = 500
/** … and of all of it, encoded; R2 has a limit of 8 KiB. */
const MAX_METADATA = 7000
/* What follows the prefix in a key: where a page ends, and the next one begins. */
const CURSOR = /^\d{13}-[a-z0-9-]{1,100}$/

/** One page of jobs; `next`: the cursor of the one after it. */
export interface JobPage {
  readonly jobs: readonly JobStatus[]
  readonly next: string | undefined
}

/** Keeps the list. */
export class JobListing {
  readonly #bucket: R2Bucket

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket
  }

  /** Puts a job on the list, or how it stands now. */
  async put(status: JobStatus): Promise<void> {
    await this.#bucket.put(keyOf(status), new Uint8Array(), {
      customMetadata: { status: format(status) },
    })
  }

  /** Takes a job off the list. */
  async delete(status: JobStatus): Promise<void> {
    await this.#bucket.delete(keyOf(status))
  }

  /** At most `limit` jobs after a cursor, as they stood when they began or ended; what is no cursor is none. */
  async list(limit: number, cursor = ''): Promise<JobPage> {
    const jobs: JobStatus[] = []
    let from: R2ListOptions = isJobCursor(cursor) ? { startAfter: JOBS_PREFIX + cursor } : {}
    for (;;) {
      const page = await this.#bucket.list({
        prefix: JOBS_PREFIX,
        limit: limit - jobs.length,
        include: ['customMetadata'],
        ...from,
      })
      jobs.push(...page.objects.flatMap(({ customMetadata }) => parse(customMetadata?.['status'])))
      if (!page.truncated) return { jobs, next: undefined }
      const last = page.objects.at(-1)?.key
      // With metadata R2 gives as many as it likes, and so it may give none.
      if (jobs.length >= limit && last !== undefined) {
        return { jobs, next: last.slice(JOBS_PREFIX.length) }
      }
      from = { cursor: page.cursor }
    }
  }
}

/** Whether a text can be a cursor. */
export function isJobCursor(text: string): boolean {
  return CURSOR.test(text)
}

function keyOf({ createdAt, id }: JobStatus): string {
  return jobKey(createdAt, id)
}

/** What a job has come to is the first to be left out where there is too much. */
function format(status: JobStatus): string {
  const cut = (length: number): JobStatus => ({
    ...status,
    title: status.title.slice(0, length),
    note: status.note.slice(0, length),
  })
  const forms = [cut(MAX_TEXT), { ...cut(MAX_TEXT), result: {} }, { ...cut(100), result: {} }]
  const encoded = forms.map((form) => encodeURIComponent(JSON.stringify(form)))
  return encoded.find((text) => text.length <= MAX_METADATA) ?? encoded.at(-1) ?? ''
}

/** Only what `put` has written is there. */
function parse(status: string | undefined): readonly JobStatus[] {
  return status === undefined ? [] : [JSON.parse(decodeURIComponent(status)) as JobStatus]
}
