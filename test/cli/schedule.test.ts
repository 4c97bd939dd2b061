// The clock of `entrepot serve`: jobs that nobody has ordered, in a real registry.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import type { Registry } from '../../cli/serve.ts'
import { serve } from '../../cli/serve.ts'

interface Jobs {
  readonly jobs: readonly { readonly kind: string; readonly by: string; readonly state: string }[]
}

let folder: string
const lines: string[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-clock-'))
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

function start(more: { readonly clockEvery?: number } = {}): Promise<Registry> {
  const log = (line: string): void => void lines.push(line)
  const vars = { STORAGE_TARGET: '1GiB' }
  return serve({
    host: '127.0.0.1',
    port: 0,
    persistTo: folder,
    vars,
    secrets: false,
    log,
    ...more,
  })
}

async function ask<Answer>({ url, administrator }: Registry, path: string): Promise<Answer> {
  const secret = (await readFile(administrator ?? expect.fail('no administrator'), 'utf8')).trim()
  const authorization = `Basic ${btoa(`administrator:${secret}`)}`
  const answer = await fetch(new URL(path, url), { headers: { authorization } })
  expect(answer.status).toBe(200)
  // What the API says of jobs and of storage.
  return (await answer.json()) as Answer
}

describe('the clock', () => {
  it('starts each regular job once, however often it strikes, and ends with the registry', async () => {
    const registry = await start({ clockEvery: 100 })
    try {
      await vi.waitFor(
        async () => {
          const { jobs } = await ask<Jobs>(registry, '/_/api/jobs')
          expect(jobs.map(({ kind }) => kind)).toContain('collect')
          expect(jobs.filter(({ state }) => state !== 'done')).toEqual([])
        },
        { timeout: 20_000, interval: 200 },
      )
      const storage = await ask<object>(registry, '/_/api/storage')
      expect(storage).toMatchObject({ bytes: 0, target: 2 ** 30, hosts: [] })
      expect(storage).toHaveProperty('measuredAt')
      await new Promise((resolve) => setTimeout(resolve, 500))
      const { jobs } = await ask<Jobs>(registry, '/_/api/jobs')
      const kinds = jobs.map(({ kind }) => kind)
      expect(kinds).toEqual([...new Set(kinds)])
      expect(new Set(jobs.map(({ by }) => by))).toEqual(new Set(['']))
    } finally {
      await registry.stop()
    }
    const events = lines.map((line) => (JSON.parse(line) as { event: string }).event)
    expect(events).not.toContain('schedule-failed')
  })

  it('does not strike where nobody has asked for it', async () => {
    const registry = await start()
    try {
      const { jobs } = await ask<Jobs>(registry, '/_/api/jobs')
      await new Promise((resolve) => setTimeout(resolve, 500))
      expect((await ask<Jobs>(registry, '/_/api/jobs')).jobs).toEqual(jobs)
    } finally {
      await registry.stop()
    }
  })
})
