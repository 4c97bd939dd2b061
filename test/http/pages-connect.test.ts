// The page that says how to connect: for everybody, with the address that was asked, and in the very texts of
// `docs/clients.md` and of the real clients, which take theirs from the same functions.

import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import docs from '../../docs/clients.md?raw'
import { CLIENTS } from '../../src/http/pages/clients.ts'
import type { Wish } from '../../src/http/pages/clients.ts'
import {
  CONTAINERD_CONFIG,
  buildkitFile,
  daemonFile,
  hostsFile,
  hostsURL,
  imageName,
  k3sFile,
  loginCommand,
  pullCommands,
} from '../../src/http/pages/snippets.ts'
import { accounts, basic, granting } from '../support/accounts.ts'
import { isolate } from '../support/isolate.ts'
import { broken } from '../support/operations.ts'

const HTML = { accept: 'text/html' }
const PLACE = { origin: 'https://mirror.example', host: 'mirror.example' }
const LOCAL = { origin: 'http://127.0.0.1:5050', host: '127.0.0.1:5050' }
const UPSTREAMS = ['docker.io', 'ghcr.io']

afterEach(() => reset())

/** What is to be copied on a page. */
async function copied(query: string, changed: Readonly<Record<string, unknown>> = {}) {
  const answer = await isolate(changed).get(`/_/connect${query}`, HTML)
  expect(answer.status).toBe(200)
  const html = await answer.text()
  return [...html.matchAll(/<pre class="copy"[^>]*><code>([\s\S]*?)<\/code>/g)].map(([, text]) =>
    (text ?? '')
      .replaceAll('&quot;', '"')
      .replaceAll('&#39;', "'")
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&amp;', '&'),
  )
}

function stepsOf(id: string, wish: Partial<Wish> = {}): string {
  const client = CLIENTS.find((each) => each.id === id) ?? expect.fail(`no client ${id}`)
  const steps = client.steps({ place: PLACE, upstream: undefined, upstreams: UPSTREAMS, ...wish })
  return steps.map(({ text }) => text).join('\n')
}

describe('the page', () => {
  it('is for everybody, also while every object is away', async () => {
    const away = { AUTHORITY: broken('objects'), METER: broken('objects'), BLOBS: broken('store') }
    expect((await copied('', away)).join()).toContain('[host."https://registry.test"]')
  })

  it('has the address that was asked, or the public one', async () => {
    const [, file] = await copied('?client=containerd&upstream=ghcr.io')
    expect(file).toBe(
      'server = "https://ghcr.io"\n[host."https://registry.test/v2/ghcr.io"]\n  capabilities = ["pull", "resolve"]\n  override_path = true\n',
    )
    const PUBLIC_URL = 'https://images.example:8443'
    const [daemon] = await copied('?client=docker', { PUBLIC_URL })
    expect(daemon).toBe('{ "registry-mirrors": ["https://images.example:8443"] }\n')
  })

  it('shows what was chosen, and knows nothing else', async () => {
    const html = await (
      await isolate().get('/_/connect?client=podman&upstream=ghcr.io&capability=yes', HTML)
    ).text()
    expect(html).toContain('<option value="podman" selected="">')
    expect(html).toContain('<option value="ghcr.io" selected="">')
    expect(html).toContain('checked=""')
    for (const query of [
      '?client=x"><script>',
      '?upstream=https://evil.example',
      '?capability=S',
    ]) {
      expect(await copied(query)).toEqual(await copied(''))
    }
  })

  it('never has a secret, only its place', async () => {
    const texts = await copied('?client=podman&upstream=ghcr.io&capability=yes')
    expect(texts[0]).toContain('location = "registry.test/t/<secret>/ghcr.io"')
    expect(texts.at(-1)).toBe(
      "npm run account -- add cluster --capability --grant 'ghcr.io/**=pull'\n",
    )
  })

  it.each(CLIENTS)('has something to copy for $name and each upstream', async ({ id }) => {
    for (const upstream of ['', 'docker.io', 'ghcr.io']) {
      for (const capability of ['', '&capability=yes']) {
        const texts = await copied(`?client=${id}&upstream=${upstream}${capability}`)
        expect(texts.length).toBeGreaterThan(0)
        expect(texts.join()).not.toMatch(/undefined|\[object/)
        expect(texts.join().includes('/t/<secret>')).toBe(capability !== '')
      }
    }
  })
})

describe('an upstream is offered', () => {
  const offered = async (name?: string, changed: Readonly<Record<string, unknown>> = {}) => {
    const login = name === undefined ? undefined : { authorization: basic(name) }
    const settings = await accounts({
      root: [granting('**', 'admin')],
      ci: [granting('private.test/team/**', 'pull')],
      pusher: [granting('**', 'push')],
    })
    const worker = isolate({ LOGIN_LIMIT: undefined, ...settings, ...changed })
    const answer = await worker.get('/_/connect?upstream=vault.test', { ...HTML, ...login })
    expect(answer.status).toBe(200)
    const html = await answer.text()
    const hosts = [...html.matchAll(/<option value="([^"]*\.[^"]*)"/g)].map(([, host]) => host)
    return { hosts, html }
  }

  it('where everybody may pull some of it', async () => {
    const { hosts, html } = await offered()
    expect(hosts).toEqual(expect.arrayContaining(['docker.io', 'ghcr.io', 'part.test']))
    for (const host of ['private.test', 'vault.test']) {
      expect(hosts).not.toContain(host)
      expect(html).not.toContain(host)
    }
  })

  it('where a grant to read reaches it, and to an administrator', async () => {
    expect((await offered('ci')).hosts).toContain('private.test')
    expect((await offered('ci')).hosts).not.toContain('vault.test')
    expect((await offered('pusher')).hosts).not.toContain('private.test')
    const { hosts, html } = await offered('root')
    expect(hosts).toEqual(expect.arrayContaining(['docker.io', 'private.test', 'vault.test']))
    expect(html).toContain('<option value="vault.test" selected="">')
  })

  it('to nobody where nothing is for everybody', async () => {
    const closed = { ANONYMOUS: [] }
    const { hosts, html } = await offered(undefined, closed)
    expect(hosts).toEqual([])
    expect(html).toContain('No upstream is for everybody.')
    expect((await offered('ci', closed)).hosts).toEqual(['private.test'])
    for (const { id } of CLIENTS) {
      for (const text of await copied(`?client=${id}`, closed)) expect(text).not.toBe('')
    }
  })

  it('as to anybody, to whom a wrong secret or an object that is away leaves unknown', async () => {
    const { hosts } = await offered()
    const wrong = await isolate({ LOGIN_LIMIT: undefined }).get('/_/connect', {
      ...HTML,
      authorization: basic('ci', 'wrong'),
    })
    expect([wrong.status, (await wrong.text()).includes('private.test')]).toEqual([200, false])
    // Accounts of the configuration are known all the same.
    expect((await offered('unknown', { AUTHORITY: broken('objects') })).hosts).toEqual(hosts)
  })
})

describe('docs/clients.md has the same texts', () => {
  const secret = { ...PLACE, capability: 'S' }
  it.each([
    { what: 'containerd', text: CONTAINERD_CONFIG },
    { what: 'containerd, all', text: hostsFile({ url: hostsURL(PLACE, 'ns', ''), form: 'ns' }) },
    {
      what: 'containerd, one',
      text: stepsOf('containerd', { upstream: 'ghcr.io' }).split('\n\n')[1],
    },
    {
      what: 'containerd, all, by a capability',
      text: hostsFile({ url: hostsURL(secret, 'ns', ''), form: 'ns' }),
    },
    {
      what: 'containerd, one, by a capability',
      text: stepsOf('containerd', { place: secret, upstream: 'ghcr.io' }).split('\n\n')[1],
    },
    { what: 'containerd, by a path', text: hostsURL(secret, 'path base', 'ghcr.io') },
    { what: 'docker', text: daemonFile(PLACE.origin) },
    {
      what: 'docker, by a capability',
      text: stepsOf('docker', { place: secret }).split('\n\n')[0],
    },
    { what: 'podman', text: stepsOf('podman', { upstream: 'docker.io' }).split('\n\n')[0] },
    {
      what: 'podman, by a capability',
      text: stepsOf('podman', { upstream: 'ghcr.io', place: secret }).split('\n\n')[0],
    },
    { what: 'k3s', text: k3sFile(PLACE, undefined) },
    { what: 'BuildKit', text: buildkitFile(PLACE, 'docker.io') },
    { what: 'skopeo', text: stepsOf('skopeo', { upstream: 'docker.io' }) },
    {
      what: 'skopeo, by a capability',
      text: stepsOf('skopeo', { upstream: 'ghcr.io', place: secret }),
    },
    { what: 'helm', text: stepsOf('helm', { upstream: 'ghcr.io' }) },
    ...['docker', 'podman', 'crane', 'oras', 'regctl', 'helm'].map((client) => ({
      what: `${client} login`,
      text: loginCommand(client, PLACE),
    })),
  ])('$what', ({ text = expect.fail('no text') }) => {
    expect(docs).toContain(text.trimEnd())
  })
})

describe('over http', () => {
  it('each client is told so in its own way', () => {
    const wish = { place: LOCAL, upstream: 'docker.io' }
    expect(stepsOf('docker', wish)).toContain('"insecure-registries": ["127.0.0.1:5050"]')
    expect(stepsOf('podman', wish)).toContain('  insecure = true')
    expect(stepsOf('buildkit', wish)).toContain('[registry."127.0.0.1:5050"]\n  http = true')
    expect(stepsOf('regctl', wish)).toContain('regctl registry set 127.0.0.1:5050 --tls disabled')
    const flags = ['--src-tls-verify=false', '--insecure', '--plain-http', '--plain-http']
    for (const [index, id] of ['skopeo', 'crane', 'oras', 'helm'].entries()) {
      expect(stepsOf(id, wish)).toContain(flags[index])
      expect(stepsOf(id, { upstream: 'docker.io' })).not.toContain(flags[index])
    }
    expect(stepsOf('helm', wish)).toContain(
      'oci://127.0.0.1:5050/docker.io/library/alpine --version',
    )
    const pulls = pullCommands(LOCAL, 'docker.io/library/alpine', 'latest')
    expect(pulls.map(({ text }) => text.split(' 127')[0])).toContain('ctr images pull --plain-http')
  })

  it('k3s is given the path as it is used, since it adds nothing to it', () => {
    const place = { ...PLACE, capability: 'S' }
    expect(k3sFile(place, undefined)).toContain('["https://mirror.example/t/S/v2"]')
    expect(k3sFile(place, 'ghcr.io')).toContain('["https://mirror.example/v2/t/S/ghcr.io"]')
    expect(k3sFile(PLACE, 'ghcr.io')).toContain('["https://mirror.example/v2/ghcr.io"]')
  })

  it('a name has a tag behind a colon and a digest behind an at', () => {
    expect(imageName(PLACE, 'a/b', 'v1')).toBe('mirror.example/a/b:v1')
    expect(imageName(PLACE, 'a/b', 'sha256:0')).toBe('mirror.example/a/b@sha256:0')
    expect(imageName({ ...PLACE, capability: 'S' }, 'a/b')).toBe('mirror.example/t/S/a/b')
  })
})
