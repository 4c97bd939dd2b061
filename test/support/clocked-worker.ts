// The Worker with a clock that whoever asks may set: weeks go by in seconds. Only the browser
// tests start it, to fill a registry with a past; what they look at then is the Worker itself.

import worker from '../../src/worker.ts'
import type { Delivery } from '../../src/meter/outbox.ts'

export * from '../../src/worker.ts'

const realNow = Date.now.bind(Date)
let shift = 0
Date.now = () => realNow() + shift

export default {
  async fetch(request, env, context) {
    const clock = request.headers.get('X-Test-Clock')
    if (clock !== null) shift = Number(clock) - realNow()
    if (new URL(request.url).pathname !== '/test/meter') return worker.fetch(request, env, context)
    const deliveries: readonly { readonly at: number; readonly delivery: Delivery }[] =
      await request.json()
    const meter = env.METER.getByName('meter')
    for (const { at, delivery } of deliveries) {
      shift = at - realNow()
      await meter.handOver(delivery)
    }
    return new Response()
  },
} satisfies ExportedHandler<Env>
