// The Worker: where the platform comes in. No logic.

import { createApp } from './http/app.ts'
import { createSchedule } from './schedule.ts'
import { printLog } from './services.ts'

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

const app = createApp(printLog)
const schedule = createSchedule(printLog)

export default {
  fetch: (request, env, ctx) => app.fetch(request, env, ctx),
  scheduled: (_, env, ctx) => schedule(env, ctx),
} satisfies ExportedHandler<Env>
