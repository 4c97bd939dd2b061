// The Worker: where the platform comes in. No logic.

import { createApp } from './http/app.ts'
import { printLog } from './services.ts'

export {
  Authority,
  BlobClaims,
  BlobFill,
  HostedLedger,
  MirrorLedger,
  UploadSession,
  UpstreamGate,
} from './objects.ts'
export { Meter } from './objects/meter.ts'

const app = createApp(printLog)

export default {
  fetch: (request, env, ctx) => app.fetch(request, env, ctx),
} satisfies ExportedHandler<Env>
