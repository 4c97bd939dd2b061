// The Worker as `npm start` runs it: the same app and the same objects, with a log that is written in lumps. On this
// machine each write crosses a pipe to another process, which would cost as much as the whole of a warm request.

import { createApp } from './http/app.ts'
import { createSchedule } from './schedule.ts'
import { formatLine, printLog } from './services.ts'

export {
  Authority,
  BlobClaims,
  BlobFill,
  HostedLedger,
  Job,
  Meter,
  MirrorLedger,
  UploadSession,
  UpstreamGate,
} from './objects.ts'

/** The line of a request waits so long for others (milliseconds). */
const WAIT = 20

/** Lines of requests, and when they are to be written at the latest (milliseconds). */
const lines: string[] = []
let dueAt = -Infinity

const app = createApp((event, fields) => {
  if (event === 'request') lines.push(formatLine(event, fields))
  else {
    // Nothing overtakes what was logged before.
    write()
    printLog(event, fields)
  }
})

const schedule = createSchedule(printLog)

function write(): void {
  // oxlint-disable-next-line no-console -- the platform's log is the console
  if (lines.length > 0) console.log(lines.splice(0).join('\n'))
}

/** A timer may be early by this clock: whatever comes after it needs another. */
function writeDue(): void {
  dueAt = -Infinity
  write()
}

export default {
  async fetch(request, env, ctx) {
    const response = await app.fetch(request, env, ctx)
    // A request that is cut off takes its timer along, so whether one is running is not remembered for ever.
    if (lines.length > 0 && Date.now() >= dueAt) {
      dueAt = Date.now() + WAIT
      ctx.waitUntil(scheduler.wait(WAIT).then(writeDue))
    }
    return response
  },
  scheduled: (_, env, ctx) => schedule(env, ctx),
} satisfies ExportedHandler<Env>
