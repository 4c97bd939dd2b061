// What an order to purge means, and what it may not name.

import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config.ts'
import { OrderError } from '../../src/jobs/job.ts'
import { parsePurge } from '../../src/jobs/purge-order.ts'
import { digest, repository, tag } from '../support/parsed.ts'

const config = parseConfig({
  UPSTREAMS: {
    'docker.io': {},
    'one.test:5000': { url: 'https://one.test:5000', private: false, deny: ['closed/**'] },
  },
  HOSTED: ['hosted/**'],
})
const NGINX = { host: 'docker.io', repository: repository('library/nginx') }
const DIGEST = digest('a')

describe('an order to purge', () => {
  it.each([
    {
      target: 'docker.io/library/nginx:1.29',
      want: { scope: 'image', name: NGINX, reference: { kind: 'tag', tag: tag('1.29') } },
      title: 'docker.io/library/nginx:1.29',
    },
    {
      target: `index.docker.io/nginx@${DIGEST}`,
      want: { scope: 'image', name: NGINX, reference: { kind: 'digest', digest: DIGEST } },
      title: `docker.io/library/nginx@${DIGEST}`,
    },
    {
      target: 'docker.io/library/nginx',
      want: { scope: 'repository', name: NGINX },
      title: 'docker.io/library/nginx',
    },
    { target: 'registry-1.docker.io', want: { scope: 'host', host: 'docker.io' } },
    { target: 'one.test:5000', want: { scope: 'host', host: 'one.test:5000' } },
    // Of a port and a tag, where there is no slash, a host that nobody knows can only have the port.
    { target: 'gone.test:5000', want: { scope: 'host', host: 'gone.test:5000' } },
    { target: 'Gone.test', want: { scope: 'host', host: 'gone.test' } },
    { target: 'localhost', want: { scope: 'host', host: 'localhost' } },
    {
      target: 'gone.test:5000/team/app:v1',
      want: {
        scope: 'image',
        name: { host: 'gone.test:5000', repository: repository('team/app') },
        reference: { kind: 'tag', tag: tag('v1') },
      },
    },
    // What may be mirrored no more is what is to go.
    {
      target: 'one.test:5000/closed/app',
      want: {
        scope: 'repository',
        name: { host: 'one.test:5000', repository: repository('closed/app') },
      },
    },
  ])('of $target', ({ target, want, title }) => {
    const order = parsePurge({ target }, config)
    expect(order).toMatchObject({ kind: 'purge', state: { target: want } })
    if (title !== undefined) expect(order.title).toBe(title)
  })

  it.each([
    { members: {}, want: 'target: expected a tag' },
    { members: { target: 5 }, want: 'target: expected a tag' },
    { members: { target: '' }, want: 'target: expected a tag' },
    { members: { target: 'docker.io/library/nginx:' }, want: 'target: expected a tag' },
    { members: { target: 'docker.io/Library' }, want: 'target: expected a tag' },
    { members: { target: `docker.io/library/nginx:1@${DIGEST}` }, want: 'target: expected a tag' },
    { members: { target: 'docker.io/library/nginx@sha256:1' }, want: 'target: expected a tag' },
    { members: { target: '../hosted' }, want: 'target: expected a tag' },
    { members: { target: 'hosted/app:v1' }, want: 'target: this is hosted here' },
    { members: { target: 'hosted/app' }, want: 'DELETE /v2/<name>/manifests/<tag or digest>' },
    { members: { target: 'docker.io', dryRun: true }, want: 'dryRun: expected target and nothing' },
  ])('$members is refused', ({ members, want }) => {
    let message = ''
    try {
      parsePurge(members, config)
    } catch (error) {
      if (error instanceof OrderError) message = `${error.field}: ${error.message}`
    }
    expect(message).toContain(want)
  })
})
