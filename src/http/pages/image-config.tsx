// What an image is run with, and how it was built.

import type { Child } from 'hono/jsx'
import type { ImageConfig, ImageHistory } from '../../oci/image-config.ts'
import { Outward, Table } from './elements.tsx'
import { NOTHING, formatTime } from './format.ts'

/** Shows what a configuration says; what it does not say is left out. */
export function ConfigFacts({ config }: { readonly config: ImageConfig }) {
  const { created, author, platform, user, workingDir, stopSignal } = config
  const facts: readonly (readonly [string, Child | undefined])[] = [
    ['Created', created === undefined ? undefined : formatTime(created)],
    ['Platform', platform],
    ['Author', author],
    ['Entrypoint', words(config.entrypoint)],
    ['Command', words(config.cmd)],
    ['User', user],
    ['Working directory', workingDir],
    ['Stop signal', stopSignal],
    ['Ports', config.exposedPorts.join(', ') || undefined],
    ['Volumes', config.volumes.join(', ') || undefined],
    ['Environment', lines(config.env)],
    ['Labels', labels(config.labels)],
  ]
  return (
    <dl class="facts panel">
      {facts
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </>
        ))}
    </dl>
  )
}

/** Shows the steps, the oldest first. */
export function HistoryTable({ history }: { readonly history: readonly ImageHistory[] }) {
  return (
    <Table
      isDense
      label="History"
      columns={[{ name: 'Step' }, { name: 'Created' }, { name: 'Layer' }]}
      rows={history.map(({ created, createdBy, comment, isEmpty }) => [
        <>
          <code>{createdBy ?? NOTHING}</code>
          {comment !== undefined && <small> {comment}</small>}
        </>,
        created === undefined ? NOTHING : <span class="tight">{formatTime(created)}</span>,
        isEmpty ? <span class="dim">none</span> : 'one',
      ])}
    />
  )
}

function words(all: readonly string[]): Child | undefined {
  return all.length === 0 ? undefined : <code>{all.map(quote).join(' ')}</code>
}

function lines(all: readonly string[]): Child | undefined {
  if (all.length === 0) return undefined
  return (
    <>
      {all.map((line) => (
        <div>
          <code>{line}</code>
        </div>
      ))}
    </>
  )
}

function labels(all: Readonly<Record<string, string>>): Child | undefined {
  const entries = Object.entries(all)
  if (entries.length === 0) return undefined
  return (
    <>
      {entries.map(([key, value]) => (
        <div>
          <span class="mono dim">{key}</span> <Outward text={value} />
        </div>
      ))}
    </>
  )
}

/** So that one word with spaces is seen to be one. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word)
}
