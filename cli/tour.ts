// `npm run tour`: everything by which a registry is operated, once, from the command line and in a browser, against
// upstreams that this program starts itself. It prints what it saw, leaves nothing behind, and ends with 1 if anything
// was not as it must be.

import { EXIT, onEnding, statusOf } from './ending.ts'
import { formatSpan } from './quantity.ts'
import { browses } from './tour-browser.ts'
import { TourGuide } from './tour-guide.ts'
import { importsImage, importsRegistry, losesAndRestores, switches } from './tour-hosted.ts'
import {
  collects,
  fetchesAhead,
  looksAtImages,
  measures,
  pinsAndRefreshes,
  pullsThrough,
  purges,
} from './tour-mirror.ts'
import { TourStage } from './tour-stage.ts'

/** All of it has so long (milliseconds). */
const WITHIN = 175_000

type Chapter = (guide: TourGuide, stage: TourStage) => Promise<void>

const CHAPTERS: readonly (readonly [title: string, chapter: Chapter])[] = [
  ['A pull goes through', pullsThrough],
  ['What is here', looksAtImages],
  ['Fetched before anybody asks', fetchesAhead],
  ['Pinned, and asked for anew', pinsAndRefreshes],
  ['Forgotten', purges],
  ['Kept in its size', collects],
  ['An image becomes property', importsImage],
  ['A registry moves here', importsRegistry],
  ['Switched', switches],
  ['Measured', measures],
  ['In a browser', browses],
  ['Lost, and brought back', losesAndRestores],
]

process.exitCode = await tour()

async function tour(): Promise<number> {
  const interruption = new AbortController()
  let status: number = EXIT.failed
  onEnding((ending) => {
    status = statusOf(ending)
    interruption.abort()
  })
  const signal = AbortSignal.any([interruption.signal, AbortSignal.timeout(WITHIN)])
  const guide = new TourGuide(signal)
  const startedAt = Date.now()
  const stage = await TourStage.build()
  try {
    guide.say(`an upstream plays docker.io, another one an old registry on ${stage.oldURL}`)
    await stage.liveYesterday([
      ['docker.io/library/idle', '1'],
      ['docker.io/library/alpine', '3.22'],
    ])
    await stage.start()
    guide.say(`entrepot serve listens on ${stage.url.origin}`)
    for (const [title, chapter] of CHAPTERS) {
      if (signal.aborted) break
      guide.chapter(title)
      await chapter(guide, stage).catch((error: unknown) => guide.fail(error))
    }
  } finally {
    await stage.close()
  }
  return interruption.signal.aborted ? status : tell(guide, Date.now() - startedAt)
}

function tell({ checks, failures }: TourGuide, took: number): number {
  const isWhole = took < WITHIN
  console.log(
    `\n${checks} things were looked at in ${formatSpan(took)}, and ${failures.length} were wrong.`,
  )
  for (const failure of failures) console.log(`  ✗ ${failure}`)
  if (!isWhole) console.log('  ✗ it took too long, and was ended')
  return failures.length === 0 && isWhole ? EXIT.fine : EXIT.failed
}
