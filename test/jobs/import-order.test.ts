// Orders of imports: what is one, and what is wrong with what is none.

import { describe, expect, it } from 'vitest'
import { choosePlatforms, matches } from '../../src/jobs/import-platforms.ts'
import { OrderError } from '../../src/jobs/job.ts'
import { orderOf } from '../support/import-job.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const REGISTRY = { from: 'https://old.example', repositories: ['team/**'], to: 'hosted/team' }

/** The member that is wrong. */
function wrongMember(members: object): string {
  try {
    orderOf(members)
    return 'nothing'
  } catch (error) {
    if (!(error instanceof OrderError)) throw error
    return error.field
  }
}

describe('an order for images', () => {
  it.each([
    [
      'docker.io/library/nginx:1.29',
      'hosted/nginx:1.29',
      'docker.io/library/nginx:1.29 -> hosted/nginx:1.29',
    ],
    ['nginx:1.29', 'hosted/nginx:1.29', 'docker.io/library/nginx:1.29 -> hosted/nginx:1.29'],
    [`ghcr.io/a/b@${DIGEST}`, 'hosted/b', `ghcr.io/a/b@${DIGEST} -> hosted/b`],
    ['port.test:5000/a:1', 'hosted/a:x', 'port.test:5000/a:1 -> hosted/a:x'],
  ])('from %s to %s', (from, to, title) => {
    expect(orderOf({ images: [{ from, to }] })).toMatchObject({ kind: 'import', title })
  })

  it('counts them in its title', () => {
    const images = ['a', 'b', 'c'].map((to) => ({ from: 'nginx:1', to: `hosted/${to}:1` }))
    expect(orderOf({ images }).title).toBe('docker.io/library/nginx:1 -> hosted/a:1 and 2 more')
  })

  it.each([
    [{ images: [] }, 'images'],
    [{ images: 'nginx:1' }, 'images'],
    [{ images: ['nginx:1'] }, 'images[0]'],
    [{ images: [{ from: 'nginx:1', to: 'hosted/a:1', more: 1 }] }, 'images[0]'],
    [{ images: [{ to: 'hosted/a:1' }] }, 'images[0].from'],
    [{ images: [{ from: 'nginx', to: 'hosted/a:1' }] }, 'images[0].from'],
    [{ images: [{ from: 'nginx:-', to: 'hosted/a:1' }] }, 'images[0].from'],
    [{ images: [{ from: 'unknown.test/a:1', to: 'hosted/a:1' }] }, 'images[0].from'],
    [{ images: [{ from: 'hosted/a:1', to: 'hosted/b:1' }] }, 'images[0].from'],
    [{ images: [{ from: 'limited.test/closed/a:1', to: 'hosted/a:1' }] }, 'images[0].from'],
    [{ images: [{ from: 'nginx:1', to: 'else/a:1' }] }, 'images[0].to'],
    [{ images: [{ from: 'nginx:1', to: 'docker.io/library/a:1' }] }, 'images[0].to'],
    [{ images: [{ from: 'nginx:1', to: `hosted/a@${DIGEST}` }] }, 'images[0].to'],
    [{ images: [{ from: 'nginx:1', to: 'hosted/a:-' }] }, 'images[0].to'],
    [
      {
        images: [
          { from: 'nginx:1', to: 'hosted/a:1' },
          { from: 'nginx:2', to: 'hosted/a:1' },
        ],
      },
      'images[1].to',
    ],
    [{ images: [{ from: 'nginx:1', to: 'hosted/a:1' }], platforms: ['amd64'] }, 'platforms'],
    [{ images: [{ from: 'nginx:1', to: 'hosted/a:1' }], platforms: [] }, 'platforms'],
    [{ images: [{ from: 'nginx:1', to: 'hosted/a:1' }], repositories: ['**'] }, 'repositories'],
    [{}, ''],
  ])('is wrong: %j', (members, field) => {
    expect(wrongMember(members)).toBe(field)
  })
})

describe('what is wrong with an order', () => {
  const TO = 'hosted/a:1'

  /** The sentence. */
  function told(members: object): string {
    try {
      orderOf(members)
      return 'nothing'
    } catch (error) {
      if (!(error instanceof OrderError)) throw error
      return error.message
    }
  }

  it.each([
    [{ images: [{ from: 'unknown.test/a:1', to: TO }] }, ', found "unknown.test/a:1"'],
    [{ images: [{ from: 'nginx', to: TO }] }, ', found "nginx"'],
    [{ images: [{ from: 7, to: TO }] }, 'expected a text, found 7'],
    [{ images: [{ from: 'nginx:1', to: 'else/a:1' }] }, ', found "else/a:1"'],
    [{ images: [{ from: 'nginx:1', to: 'hosted/a:-' }] }, ', found "hosted/a:-"'],
    [{ images: [{ from: 'nginx:1', to: TO, more: 1 }] }, 'only, found "more"'],
    [{ images: ['nginx:1'] }, 'expected { from, to }, found "nginx:1"'],
    [{ images: [{ from: 'nginx:1', to: TO }], platforms: ['linux/a/b', 'x'] }, ', found "x"'],
    [{ images: 'nginx:1' }, ', found "nginx:1"'],
    [{ ...REGISTRY, from: 'http://old.example' }, ', found "http://old.example"'],
    [{ ...REGISTRY, repositories: ['Team/**'] }, ', found "Team/**"'],
    [{ ...REGISTRY, to: 'Hosted' }, ', found "Hosted"'],
    [{ ...REGISTRY, realms: ['https://a.test/token'] }, ', found "https://a.test/token"'],
  ])('names what was found: %j', (members, end) => {
    expect(told(members).slice(-end.length)).toBe(end)
  })

  it.each([
    { ...REGISTRY, from: 'https://mover:canary@old.example' },
    { ...REGISTRY, from: 'https://old.example/?token=canary' },
    { ...REGISTRY, realms: ['https://mover:canary@old.example/'] },
    { ...REGISTRY, credential: { username: 'canary', password: '' } },
    { ...REGISTRY, credential: 'canary' },
    { images: [{ from: 'mover:canary@nginx:1', to: TO }] },
    { images: [{ from: { password: 'canary' }, to: TO }] },
  ])('names nothing that may be a secret: %j', (members) => {
    expect(told(members)).toMatch(/^expected (?!.*canary)/)
  })
})

describe('an order for a registry', () => {
  it.each([
    [{}, 'nothing'],
    [{ from: 'http://127.0.0.1:5000' }, 'nothing'],
    [{ from: 'http://localhost:5000/' }, 'nothing'],
    [{ from: 'https://old.example/artifactory/docker' }, 'nothing'],
    [{ credential: { username: 'a', password: 'b' } }, 'nothing'],
    [{ realms: ['https://auth.example'] }, 'nothing'],
    [{ to: 'hosted/team/' }, 'nothing'],
    [{ from: 'http://old.example' }, 'from'],
    [{ from: 'https://10.0.0.1' }, 'from'],
    [{ from: 'https://registry.internal' }, 'from'],
    [{ from: 'ftp://old.example' }, 'from'],
    [{ from: 'old.example' }, 'from'],
    [{ from: 'https://old.example/?a=b' }, 'from'],
    [{ from: 1 }, 'from'],
    [{ repositories: [] }, 'repositories'],
    [{ repositories: ['Team/**'] }, 'repositories[0]'],
    [{ repositories: ['a-/b'] }, 'repositories[0]'],
    [{ repositories: undefined }, 'repositories'],
    [{ to: 'else' }, 'to'],
    [{ to: 'docker.io' }, 'to'],
    [{ to: 'Hosted' }, 'to'],
    [{ to: undefined }, 'to'],
    [{ repositories: ['team/app'], to: 'else' }, 'to'],
    [{ credential: { username: 'a' } }, 'credential'],
    [{ credential: { username: '', password: 'b' } }, 'credential'],
    [{ credential: 'a:b' }, 'credential'],
    [{ realms: ['https://auth.example/token'] }, 'realms[0]'],
    [{ realms: ['http://auth.example'] }, 'realms[0]'],
    [{ realms: ['https://10.0.0.1'] }, 'from'],
    [{ more: 1 }, 'more'],
  ])('with %j: %s', (more, field) => {
    const members = Object.entries({ ...REGISTRY, ...more })
    const written = members.filter(([, value]) => value !== undefined)
    expect(wrongMember(Object.fromEntries(written))).toBe(field)
  })
})

describe('a platform', () => {
  it.each([
    ['linux/amd64', 'linux/amd64', true],
    ['linux/amd64', 'linux/amd64/v3', true],
    ['linux/arm64', 'linux/arm64/v8', true],
    ['linux/arm64/v8', 'linux/arm64', true],
    ['linux/arm/v7', 'linux/arm', true],
    ['linux/arm/v6', 'linux/arm', false],
    ['linux/arm/v7', 'linux/arm/v6', false],
    ['linux/arm64', 'linux/arm', false],
    ['windows/amd64', 'linux/amd64', false],
  ])('%s is wanted, and an image has %s: %s', (wanted, platform, expected) => {
    expect(matches(wanted, platform)).toBe(expected)
  })

  it('is taken with what attests it, and with indexes that say nothing', () => {
    const at = (letter: string, more: object = {}) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: `sha256:${letter.repeat(64)}`,
      size: 1,
      ...more,
    })
    const unknown = { os: 'unknown', architecture: 'unknown' }
    const one = at('1', { platform: { os: 'linux', architecture: 'amd64' } })
    const two = at('2', { platform: { os: 'linux', architecture: 's390x' } })
    const ofOne = at('3', {
      platform: unknown,
      annotations: { 'vnd.docker.reference.digest': one.digest },
    })
    const ofTwo = at('4', {
      platform: unknown,
      annotations: { 'vnd.docker.reference.digest': two.digest },
    })
    const index = at('5', { mediaType: 'application/vnd.oci.image.index.v1+json' })
    const plain = at('6')
    const all = [one, two, ofOne, ofTwo, index, plain]
    expect(choosePlatforms(all, ['linux/amd64'])).toEqual({
      ok: true,
      taken: [one, ofOne, index],
      left: [two, ofTwo, plain],
    })
    expect(choosePlatforms(all, ['linux/arm64'])).toEqual({
      ok: false,
      missing: 'linux/arm64',
      has: ['linux/amd64', 'linux/s390x'],
    })
  })
})
