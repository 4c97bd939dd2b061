// `npm run bench:upstream`: starts an upstream that counts and the mirror, lets clients pull, and prints what
// the upstream was asked against the minimum, and how long it took.

import { budgetScenario } from './budget-scenario.ts'
import { crowdScenario } from './crowd-scenario.ts'
import { herdScenario, imageScenario } from './image-scenarios.ts'
import { firstByteScenario, lateScenario, layerScenarios } from './layer-scenarios.ts'
import { memoryScenario } from './memory-scenario.ts'
import { runBench } from './runner.ts'
import { startMirror, startPeer } from './subject.ts'
import { LEGEND, formatTable } from './table.ts'

await runBench({
  name: 'bench:upstream',
  about: 'what the mirror asks of an upstream, and how long it takes',
  peer: "the reference registry's proxy mode beside it",
  scenarios: [
    imageScenario,
    herdScenario,
    ...layerScenarios,
    lateScenario,
    crowdScenario,
    budgetScenario,
    firstByteScenario,
    memoryScenario,
  ],
  start: startMirror,
  startPeer,
  format: (rows) => `${formatTable(rows)}\n\n${LEGEND}`,
})
