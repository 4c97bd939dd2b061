// Commands that pull an image from this registry, ready to copy.

import { pullCommands } from './snippets.ts'
import type { Place } from './snippets.ts'

/** Shows them, a client a line. */
export function Pulls({
  place,
  name,
  reference,
}: {
  readonly place: Pick<Place, 'origin' | 'host'>
  readonly name: string
  readonly reference: string
}) {
  return (
    <section>
      <h2>Pull</h2>
      <div class="cmd">
        {pullCommands(place, name, reference).map(({ client, text }) => (
          <div>
            <span class="dim">{client}</span>
            <pre class="copy" tabindex={0} role="region" aria-label={`Pull with ${client}`}>
              <code>{text}</code>
            </pre>
          </div>
        ))}
      </div>
    </section>
  )
}
