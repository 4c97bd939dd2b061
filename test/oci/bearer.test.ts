// Challenges as registries write them, and as nobody should.

import { describe, expect, it } from 'vitest'

import { formatChallenge, formatScope, parseChallenges } from '../../src/oci/bearer.ts'

const DOCKER_HUB = {
  scheme: 'bearer',
  parameters: {
    realm: 'https://auth.docker.io/token',
    service: 'registry.docker.io',
    scope: 'repository:library/nginx:pull,push',
  },
}

describe('parseChallenges', () => {
  it.each([
    {
      name: 'the challenge of Docker Hub, with a comma inside quotes',
      header:
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push"',
      want: [DOCKER_HUB],
    },
    {
      name: 'T031: odd case',
      header:
        'BEARER Realm="https://auth.docker.io/token", SERVICE="registry.docker.io", sCoPe="repository:library/nginx:pull,push"',
      want: [DOCKER_HUB],
    },
    {
      name: 'T031: values without quotes',
      header: 'Bearer realm=https://auth.example/token?a=b,service=registry',
      want: [
        {
          scheme: 'bearer',
          parameters: { realm: 'https://auth.example/token?a=b', service: 'registry' },
        },
      ],
    },
    {
      name: 'T031: several challenges in one field',
      header: 'Basic realm="https://evil.example", Bearer realm="https://auth.docker.io/token"',
      want: [
        { scheme: 'basic', parameters: { realm: 'https://evil.example' } },
        { scheme: 'bearer', parameters: { realm: 'https://auth.docker.io/token' } },
      ],
    },
    {
      name: 'T031: a challenge that is only quoted in another',
      header: 'Basic realm="x, Bearer realm=\\"https://evil.example\\""',
      want: [{ scheme: 'basic', parameters: { realm: 'x, Bearer realm="https://evil.example"' } }],
    },
    {
      name: 'two Bearer challenges, in their order',
      header: 'Bearer realm="a",service="b",Bearer realm="c"',
      want: [
        { scheme: 'bearer', parameters: { realm: 'a', service: 'b' } },
        { scheme: 'bearer', parameters: { realm: 'c' } },
      ],
    },
    {
      name: 'a parameter twice, of which the first counts',
      header: 'Bearer realm="https://good.example", realm="https://evil.example"',
      want: [{ scheme: 'bearer', parameters: { realm: 'https://good.example' } }],
    },
    {
      name: 'a scheme alone',
      header: 'Negotiate',
      want: [{ scheme: 'negotiate', parameters: {} }],
    },
    {
      name: 'a scheme alone before another',
      header: 'Negotiate, Basic realm="a"',
      want: [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'a' } },
      ],
    },
    {
      name: 'a token68',
      header: 'Negotiate YII+/abc==, Bearer realm="a"',
      want: [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'bearer', parameters: { realm: 'a' } },
      ],
    },
    {
      name: 'a parameter with whitespace around its equals sign',
      header: 'Bearer realm = "a" , service\t=\tb',
      want: [{ scheme: 'bearer', parameters: { realm: 'a', service: 'b' } }],
    },
    {
      name: 'empty elements',
      header: ' ,, Bearer ,realm="a",, service="b", ,',
      want: [{ scheme: 'bearer', parameters: { realm: 'a', service: 'b' } }],
    },
    {
      name: 'quoted pairs',
      header: 'Bearer realm="a\\"b\\\\c\\d"',
      want: [{ scheme: 'bearer', parameters: { realm: 'a"b\\cd' } }],
    },
    {
      name: 'empty quotes',
      header: 'Bearer realm=""',
      want: [{ scheme: 'bearer', parameters: { realm: '' } }],
    },
    {
      name: 'error of an expired token',
      header: 'Bearer realm="a",error="invalid_token"',
      want: [{ scheme: 'bearer', parameters: { realm: 'a', error: 'invalid_token' } }],
    },
  ])('reads $name', ({ header, want }) => {
    expect(parseChallenges(header)).toEqual(want)
  })

  it.each([
    { name: 'nothing', header: '' },
    { name: 'separators', header: ' , ,' },
    { name: 'an unclosed quote', header: 'Bearer realm="https://auth.example' },
    { name: 'a quote that is closed by a pair', header: 'Bearer realm="a\\"' },
    { name: 'no scheme', header: '="a"' },
    { name: 'no value', header: 'Bearer realm=,service="a"x' },
    { name: 'no comma between parameters', header: 'Bearer realm="a" service="b"' },
    { name: 'no comma between challenges', header: 'Basic Bearer realm="a"' },
    { name: 'text behind a quote', header: 'Bearer realm="a"b' },
    { name: 'a fault behind a good challenge', header: 'Bearer realm="a", <html>' },
    { name: 'T119: 100 kB of one token', header: 'a'.repeat(100_000) + '"' },
    { name: 'T119: 100 kB of token68', header: `a ${'b'.repeat(100_000)}"` },
    { name: 'T119: 100 kB of equals signs', header: `a b${'='.repeat(100_000)}"` },
    { name: 'T119: 100 kB of whitespace', header: `a b${' '.repeat(100_000)}c` },
    { name: 'T119: 100 kB of tabs', header: `a ${'\t'.repeat(100_000)}"` },
    { name: 'T119: 100 kB of quotes', header: `a ${'b="'.repeat(33_000)}` },
    { name: 'T119: 100 kB of backslashes', header: `a b="${'\\'.repeat(100_001)}"` },
    { name: 'T119: 100 kB of challenges', header: `${'a b,'.repeat(25_000)}"` },
    { name: 'T119: 100 kB of commas', header: `${','.repeat(100_000)}"` },
  ])('T031: reads nothing from $name', ({ header }) => {
    const start = performance.now()
    expect(parseChallenges(header)).toEqual([])
    expect(performance.now() - start).toBeLessThan(500)
  })

  it('a parameter cannot reach the prototype', () => {
    const [challenge] = parseChallenges('Bearer __proto__="a", constructor="b"')
    expect(Object.keys(challenge?.parameters ?? {})).toEqual(['__proto__', 'constructor'])
    expect(Object.getPrototypeOf(challenge?.parameters)).toBe(Object.prototype)
  })
})

it('formatScope joins the actions', () => {
  expect(formatScope('library/nginx', ['pull'])).toBe('repository:library/nginx:pull')
  expect(formatScope('docker.io/library/nginx', ['pull', 'push'])).toBe(
    'repository:docker.io/library/nginx:pull,push',
  )
})

describe('formatChallenge', () => {
  const own = { realm: 'https://registry.test/token', service: 'registry.test:5000' }
  const stem = 'Bearer realm="https://registry.test/token",service="registry.test:5000"'

  it.each([
    { name: 'nothing that is not there', scope: undefined, error: undefined, want: stem },
    { name: 'nothing empty', scope: '', error: undefined, want: stem },
    {
      name: 'all of it',
      scope: 'repository:a:pull,push repository:b:pull',
      error: 'invalid_token',
      want: `${stem},scope="repository:a:pull,push repository:b:pull",error="invalid_token"`,
    },
  ] as const)('writes $name', ({ scope, error, want }) => {
    expect(formatChallenge({ ...own, scope, error })).toBe(want)
  })

  it('writes what can be read again, whatever the values', () => {
    const odd = {
      realm: 'https://a"b\\c/token',
      service: 'a", error="b',
      scope: 'x',
      error: undefined,
    }
    const { error: _, ...parameters } = odd
    expect(parseChallenges(formatChallenge(odd))).toEqual([{ scheme: 'bearer', parameters }])
  })
})
