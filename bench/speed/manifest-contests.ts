// Manifests that are known: by tag and by digest, to anybody and with a token.

import type { Comparison, Contender, Contest } from './contest.ts'
import type { Floor } from './floor-contests.ts'
import { type Question, rate, roundsOf } from './rate.ts'
import { PUSHED, REPOSITORIES, type Stand, TAG, baseOf } from './stand.ts'

/**
 * What the issue asks for: against the bare Worker, the reference registry, and its proxy, which asks its upstream
 * about every tag; of a digest that it has it knows all.
 */
const TARGETS = { memory: 0.5, reference: 1, proxy: { tag: 10 } } as const

type Reference = 'tag' | 'digest'

/** Warm manifests. */
export function manifestContests(stand: Stand, { memory }: Floor): readonly Contest[] {
  const ask = async (
    { base, pid }: { readonly base: string; readonly pid: number | undefined },
    reference: Reference,
  ): Promise<Question> => {
    const { digest, manifest } = await stand.image()
    const url = `${base}/manifests/${reference === 'tag' ? TAG : digest}`
    return { url, pid, body: Buffer.from(manifest) }
  }
  const ours = (kind: 'open' | 'closed' | 'hosted', by: Reference): Contender =>
    rate(stand, 'entrepot', async () => {
      const { origin, pid, token } = await stand.entrepot()
      if (kind === 'hosted') return ask({ base: `${origin}/v2/${PUSHED}`, pid }, by)
      const repository = REPOSITORIES[kind]
      const asked = await ask({ base: baseOf({ origin }, repository), pid }, by)
      return kind === 'open' ? asked : { ...asked, token: await token(repository) }
    })
  const theirs = (kind: 'reference' | 'proxy', by: Reference): Contender =>
    rate(stand, kind === 'reference' ? 'distribution' : 'distribution, proxy', async () => {
      const { base, pid } = await stand[kind]()
      return ask({ base: base(kind === 'proxy' ? REPOSITORIES.open : PUSHED), pid }, by)
    })
  const comparisons = (['tag', 'digest'] as const).flatMap((by): readonly Comparison[] => {
    const [reference, proxy] = [theirs('reference', by), theirs('proxy', by)]
    const row = (what: string, of: Contender): readonly Comparison[] => [
      { row: `warm manifest by ${by}, ${what}`, of, against: memory, target: TARGETS.memory },
      { row: `warm manifest by ${by}, ${what}`, of, against: reference, target: TARGETS.reference },
      {
        row: `warm manifest by ${by}, ${what}`,
        of,
        against: proxy,
        ...(by === 'tag' && { target: TARGETS.proxy.tag }),
      },
    ]
    const hosted = ours('hosted', by)
    return [
      ...row('anonymous', ours('open', by)),
      ...row('with a token', ours('closed', by)),
      { row: `hosted manifest by ${by}`, of: hosted, against: memory },
      { row: `hosted manifest by ${by}`, of: hosted, against: reference },
    ]
  })
  return [{ unit: 'requests/s', rounds: roundsOf(stand), comparisons }]
}
