// `GET /_/images`: the repositories that whoever looks may read, both kinds in one list.

import type { Caller } from '../../auth/caller.ts'
import { readableBeginnings } from '../../auth/policy.ts'
import type { Config } from '../../config.ts'
import type { RepositoryLine, RepositoryList } from '../../registry/image.ts'
import type { Visit } from '../authenticate.ts'
import { canLogIn, findReadable } from '../authorize.ts'
import { Away, Moment, Pages, Table } from './elements.tsx'
import { NOTHING, formatBytes, formatCount } from './format.ts'
import { show } from './layout.tsx'
import { askFor } from './part.ts'
import { Spark } from './plot.tsx'
import { whoLooks } from './rights.ts'

/** Repositories of one page; each of them is an object that is asked. */
const PAGE = 40
/** Nobody searches for more (characters). */
const MAX_SEARCH = 200

interface Search {
  readonly text: string
  readonly kind: 'mirrored' | 'hosted' | undefined
  readonly after: string | undefined
}

/** Answers GET. */
export async function getImages(visit: Visit): Promise<Response> {
  const caller = await whoLooks(visit)
  const { services, exchange } = visit
  const search = searchOf(exchange.query)
  const list = await askFor(visit, () =>
    services.images.list(queryOf(search, caller, services.config)),
  )
  const mayLogIn = caller.kind === 'anonymous' && (await canLogIn(visit))
  return show(visit, {
    title: 'Images',
    at: 'images',
    content: (
      <>
        <div class="head">
          <h1>Images</h1>
          {mayLogIn && (
            <p>
              What everybody may read. <a href="/_/login">Log in</a> to see more.
            </p>
          )}
        </div>
        <SearchForm search={search} />
        {list.isHere ? (
          <List list={list.value} search={search} now={exchange.now()} />
        ) : (
          <Away what="The list of images" />
        )}
      </>
    ),
  })
}

/** Where a repository, or one image of it, is shown. */
export function imagePath(name: string, reference?: string): string {
  if (reference === undefined) return `/_/images/${name}`
  return `/_/images/${name}${reference.includes(':') ? '@' : ':'}${reference}`
}

function searchOf(query: URLSearchParams): Search {
  const kind = query.get('kind')
  return {
    text: (query.get('search') ?? '').trim().slice(0, MAX_SEARCH),
    kind: kind === 'mirrored' || kind === 'hosted' ? kind : undefined,
    after: query.get('last') ?? undefined,
  }
}

function queryOf(
  { text, kind, after }: Search,
  caller: Caller,
  config: Config,
): Parameters<Visit['services']['images']['list']>[0] {
  return {
    ...(text !== '' && { search: text }),
    kinds: kind === undefined ? ['mirrored', 'hosted'] : [kind],
    after,
    limit: PAGE,
    mayRead: (of, canonical) => findReadable(canonical, caller, config)?.kind === of,
    beginnings: (of) => readableBeginnings(caller, config.anonymous, of),
  }
}

function SearchForm({ search: { text, kind } }: { readonly search: Search }) {
  return (
    <form method="get" action="/_/images" role="search">
      <label>
        Name contains
        <input type="search" name="search" value={text} maxlength={MAX_SEARCH} autocomplete="off" />
      </label>
      <label>
        Kind
        <select name="kind">
          <option value="">mirrored and hosted</option>
          {(['mirrored', 'hosted'] as const).map((each) => (
            <option value={each} selected={each === kind}>
              {each}
            </option>
          ))}
        </select>
      </label>
      <button type="submit">Search</button>
    </form>
  )
}

function List({
  list: { images, next },
  search,
  now,
}: {
  readonly list: RepositoryList
  readonly search: Search
  readonly now: number
}) {
  if (images.length === 0 && next === undefined) {
    const isAll = search.text === '' && search.kind === undefined && search.after === undefined
    return (
      <p class="panel empty">
        {isAll ? (
          <>
            Nothing is here yet. <a href="/_/connect">Connect a client</a> and pull something.
          </>
        ) : (
          'Nothing here matches.'
        )}
      </p>
    )
  }
  return (
    <>
      {images.length > 0 && (
        <Table
          isDense
          label="Repositories"
          columns={[
            { name: 'Name' },
            { name: 'Kind' },
            { name: 'Tags', isNumber: true },
            { name: 'Size', isNumber: true },
            { name: 'Last pull', isNumber: true },
            { name: 'Pulls, 30 days' },
          ]}
          rows={images.map((line) => rowOf(line, now))}
        />
      )}
      <Pages
        {...(search.after !== undefined && { first: pathOf({ ...search, after: undefined }) })}
        next={next === undefined ? undefined : pathOf({ ...search, after: next })}
      />
    </>
  )
}

function rowOf({ name, kind, tags, bytes, lastPull, pulls }: RepositoryLine, now: number) {
  const isAway = tags === undefined
  return [
    <a href={imagePath(name)}>{name}</a>,
    <span class="kind">{kind}</span>,
    isAway ? <span class="dim">away</span> : formatCount(tags),
    bytes === undefined ? NOTHING : formatBytes(bytes),
    <Moment at={lastPull} now={now} />,
    isAway ? NOTHING : <Spark pulls={pulls} now={now} />,
  ]
}

function pathOf({ text, kind, after }: Search): string {
  const query = new URLSearchParams({
    ...(text !== '' && { search: text }),
    ...(kind !== undefined && { kind }),
    ...(after !== undefined && { last: after }),
  })
  return `/_/images${query.size > 0 ? '?' : ''}${query.toString()}`
}
