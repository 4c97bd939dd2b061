// `GET /_/connect`: choose a client and an upstream, and see what to write where. For everybody, since it says nothing but
// the address that was asked and the upstreams of which whoever looks may read something; a secret is never part of it.

import type { Caller } from '../../auth/caller.ts'
import { REGISTRY, may, mayReadBelow } from '../../auth/policy.ts'
import type { Config } from '../../config.ts'
import { RegistryError } from '../../oci/error.ts'
import type { Visit } from '../authenticate.ts'
import { CLIENTS, clientOf, loginOf } from './clients.ts'
import type { Client, Step, Wish } from './clients.ts'
import { Copy } from './elements.tsx'
import { show } from './layout.tsx'
import type { Place } from './snippets.ts'

/** What stands where a secret goes. */
const SECRET = '<secret>'

/** Answers GET. */
export async function getConnect(visit: Visit): Promise<Response> {
  const { exchange, services } = visit
  const { query } = exchange
  const caller = await callerOf(visit)
  const upstreams = offeredTo(caller, services.config)
  const client = clientOf(query.get('client'))
  const upstream = upstreams.find((host) => host === query.get('upstream'))
  const hasCapability = query.get('capability') === 'yes'
  const place = { ...placeOf(visit), capability: hasCapability ? SECRET : undefined }
  return show(visit, {
    title: 'Connect',
    at: 'connect',
    content: (
      <>
        <div class="head">
          <h1>Connect a client</h1>
          <p>
            This registry is <code>{place.host}</code>
          </p>
        </div>
        {upstreams.length === 0 && caller.kind === 'anonymous' && (
          <p class="note">
            No upstream is for everybody. <a href="/_/login">Log in</a> to see those that are for
            you.
          </p>
        )}
        <Choice {...{ client, upstream, upstreams, hasCapability }} />
        <Steps client={client} wish={{ place, upstream, upstreams }} />
        {hasCapability ? (
          <CapabilityNote upstream={upstream} />
        ) : (
          <LoginNote {...{ client, place }} />
        )}
      </>
    ),
  })
}

/** Who looks. Nobody is refused this page, so who is not known is anybody. */
async function callerOf({ visitor }: Visit): Promise<Caller> {
  try {
    return (await visitor.authenticate()).caller
  } catch (error) {
    if (error instanceof RegistryError && error.status === 503) return { kind: 'anonymous' }
    throw error
  }
}

/** The hosts below which a caller could read something; all of them to an administrator. */
function offeredTo(caller: Caller, { upstreams, anonymous }: Config): readonly string[] {
  const isAdmin = may(caller, 'admin', REGISTRY, anonymous)
  return [...upstreams]
    .filter(([host, { privacy }]) => {
      return isAdmin || mayReadBelow(caller, { host, isPrivate: privacy === 'all' }, anonymous)
    })
    .map(([host]) => host)
}

/** Where clients reach this registry. */
export function placeOf({ exchange, services }: Visit): Pick<Place, 'origin' | 'host'> {
  const { origin, host } = services.config.publicURL ?? new URL(exchange.origin)
  return { origin, host }
}

function Choice({
  client,
  upstream,
  upstreams,
  hasCapability,
}: {
  readonly client: Client
  readonly upstream: string | undefined
  readonly upstreams: readonly string[]
  readonly hasCapability: boolean
}) {
  return (
    <form method="get" action="/_/connect">
      <label>
        Client
        <select name="client">
          {CLIENTS.map(({ id, name }) => (
            <option value={id} selected={id === client.id}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        Upstream
        <select name="upstream">
          <option value="">all of them</option>
          {upstreams.map((host) => (
            <option value={host} selected={host === upstream}>
              {host}
            </option>
          ))}
        </select>
      </label>
      <label class="check">
        <input type="checkbox" name="capability" value="yes" checked={hasCapability} />
        by a capability, for clients that cannot log in
      </label>
      <button type="submit">Show</button>
    </form>
  )
}

function Steps({ client, wish }: { readonly client: Client; readonly wish: Wish }) {
  return (
    <>
      <p>{client.about}</p>
      {!client.isRun && (
        <p class="dim">
          Written after its sources; unlike the other clients it does not run in the tests of this
          registry.
        </p>
      )}
      {client
        .steps(wish)
        .filter(({ text }) => text !== '')
        .map((step) => (
          <StepOf step={step} />
        ))}
    </>
  )
}

function StepOf({ step: { title, path, text } }: { readonly step: Step }) {
  return (
    <div class="step">
      <h2>
        {title} {path !== undefined && <code>{path}</code>}
      </h2>
      <Copy text={text} label={path ?? title} />
    </div>
  )
}

function CapabilityNote({ upstream }: { readonly upstream: string | undefined }) {
  const grant = `'${upstream ?? '**'}${upstream === undefined ? '' : '/**'}=pull'`
  return (
    <StepOf
      step={{
        title: `Where ${SECRET} comes from: an administrator makes a capability, and sees it once`,
        text: `npm run account -- add cluster --capability --grant ${grant}\n`,
      }}
    />
  )
}

function LoginNote({ client, place }: { readonly client: Client; readonly place: Place }) {
  const command = loginOf(client, place)
  if (command === undefined) return null
  return (
    <StepOf
      step={{
        title: 'What is not for everybody wants a login: the account ci, its secret in a file',
        text: `${command}\n`,
      }}
    />
  )
}
