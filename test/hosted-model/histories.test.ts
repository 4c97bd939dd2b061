// Thousands of random histories of the hosted registry's objects, with faults, deaths, and messages that are
// late or come twice: nothing is lost, nothing is readable that is not claimed, and nothing stays for ever.

import { describe, expect, it } from 'vitest'
import { commandsOf, play, shrink } from './history.ts'

/** `MODEL_HISTORIES` and `MODEL_SEED` play more of them, or one again. */
const COUNT = Number(process.env['MODEL_HISTORIES'] ?? 1000)
const FIRST = Number(process.env['MODEL_SEED'] ?? 1)

describe('random histories', () => {
  it(
    'lose no byte, leave none readable without a claim, and none for ever',
    async () => {
      for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
        const commands = commandsOf(seed)
        if ((await play(commands)).length === 0) continue
        const shortest = await shrink(commands)
        const story = (await play(shortest)).join('\n')
        expect.fail(`MODEL_SEED=${seed}, ${shortest.length} commands:\n${story}`)
      }
    },
    10 * 60_000,
  )
})
