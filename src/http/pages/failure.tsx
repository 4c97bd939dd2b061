// What went wrong, as a page: for a browser that asked for one.

import type { RegistryError } from '../../oci/error.ts'
import { HEADER } from '../../oci/header.ts'
import type { Exchange } from '../exchange.ts'
import { showAt } from './layout.tsx'

const TEXTS: Readonly<Record<number, { readonly title: string; readonly text: string }>> = {
  401: {
    title: 'Log in',
    text: 'This page is for accounts that have been granted it. Load it again to be asked for a name and a secret.',
  },
  404: { title: 'Not found', text: 'There is nothing here under this name.' },
  405: { title: 'Not possible', text: 'Pages can be read and nothing else.' },
  429: {
    title: 'Too many attempts',
    text: 'Too many logins have failed, or too many pages were asked for. Wait a minute.',
  },
  503: {
    title: 'Not available',
    text: 'What this page needs cannot be reached. Try again in a moment.',
  },
}

/** Whether a failed request wanted a page. */
export function wantsPage({ endpoint, headers }: Exchange): boolean {
  return endpoint.startsWith('page') && (headers.get(HEADER.accept) ?? '').includes('text/html')
}

/** Answers with it. */
export function showFailure(exchange: Exchange, error: RegistryError): Response {
  const { title, text } = TEXTS[error.status] ?? {
    title: 'Something went wrong',
    text: `The log of this registry says what it was, under ${exchange.id}.`,
  }
  return showAt(exchange, new URL(exchange.origin).host, {
    title,
    status: error.status,
    headers: error.headers,
    content: (
      <>
        <h1>{title}</h1>
        <p>{text}</p>
        <p>
          <a href="/_/connect">Connect a client</a>
        </p>
      </>
    ),
  })
}
