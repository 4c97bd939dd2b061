// `npm run bench:upload`: starts the registry with hosted repositories, pushes to it in every way that clients do,
// and prints what was answered, what it cost, and what the same bytes cost without a registry.

import { startHosted, startHostedPeer } from './hosted-subject.ts'
import { formatPushes } from './push-row.ts'
import { runBench } from './runner.ts'
import { PUSH_SCENARIOS } from './upload-scenarios.ts'

await runBench({
  name: 'bench:upload',
  about: 'what pushes cost, in memory, storage operations and time',
  peer: 'the reference registry beside it',
  scenarios: PUSH_SCENARIOS,
  start: startHosted,
  startPeer: startHostedPeer,
  format: formatPushes,
})
