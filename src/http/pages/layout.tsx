// The frame of every page: head, navigation, and the headers that keep a browser from doing more than showing it.

import type { Child } from 'hono/jsx'
import { HEADER } from '../../oci/header.ts'
import { serviceOf } from '../challenge.ts'
import type { Visit } from '../authenticate.ts'
import { respond } from '../exchange.ts'
import type { Exchange } from '../exchange.ts'
import { formatTime } from './format.ts'
import { STYLE_VERSION } from './style.ts'

/** The pages of the navigation. */
const NAVIGATION = [
  { name: 'overview', path: '/_/', title: 'Overview' },
  { name: 'images', path: '/_/images', title: 'Images' },
  { name: 'connect', path: '/_/connect', title: 'Connect' },
  { name: 'activity', path: '/_/activity', title: 'Activity' },
] as const

/** No script, no frame, nothing of another origin; forms lead back here. */
const POLICY =
  "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

/** What a page is. */
export interface Page {
  readonly title: string
  /** Where in the navigation it is. */
  readonly at?: (typeof NAVIGATION)[number]['name']
  readonly content: Child
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
}

/** Answers with a page. */
export function show({ exchange, services }: Visit, page: Page): Response {
  return showAt(exchange, serviceOf(exchange, services.config), page)
}

/** Answers with a page where nothing is known but the request. */
export function showAt(exchange: Exchange, host: string, page: Page): Response {
  const document = <Document {...{ exchange, host, page }} />
  // oxlint-disable-next-line typescript/no-base-to-string -- that is how hono renders
  const body = `<!doctype html>${String(document)}`
  const headers = {
    ...page.headers,
    [HEADER.contentType]: 'text/html; charset=utf-8',
    [HEADER.contentSecurityPolicy]: POLICY,
    [HEADER.referrerPolicy]: 'no-referrer',
    [HEADER.cacheControl]: 'no-store',
  }
  return respond(exchange, { status: page.status ?? 200, headers, body })
}

function Document({
  exchange,
  host,
  page,
}: {
  readonly exchange: Exchange
  readonly host: string
  readonly page: Page
}) {
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="robots" content="noindex" />
        <title>{`${page.title} · ${host}`}</title>
        <link rel="icon" href="/_/icon.svg" type="image/svg+xml" />
        <link rel="stylesheet" href={`/_/style.css?v=${STYLE_VERSION}`} />
      </head>
      <body>
        <a class="skip" href="#main">
          Skip to content
        </a>
        <Top at={page.at} host={host} who={exchange.caller} />
        <main id="main">{page.content}</main>
        <footer>
          <span>entrepot</span>
          <span>
            As of{' '}
            <time datetime={new Date(exchange.now()).toISOString()}>
              {formatTime(exchange.now())}
            </time>
          </span>
        </footer>
      </body>
    </html>
  )
}

function Top({
  at,
  host,
  who,
}: {
  readonly at: Page['at']
  readonly host: string
  readonly who: string | undefined
}) {
  return (
    <header>
      <div class="top">
        <a class="brand" href="/_/">
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <path fill="currentColor" d="M2 17h16v2H2zM3 9h6v7H3zm8 0h6v7h-6zM7 1h6v7H7z" />
          </svg>
          entrepot
        </a>
        <nav aria-label="Pages">
          <ul>
            {NAVIGATION.map(({ name, path, title }) => (
              <li>
                <a href={path} {...(name === at && { 'aria-current': 'page' })}>
                  {title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <span class="who">{who === undefined ? host : `${who} · ${host}`}</span>
      </div>
    </header>
  )
}
