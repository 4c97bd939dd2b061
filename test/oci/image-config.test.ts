// The configuration of an image as it is shown: what it says, and what becomes of one that somebody has made up.

import { describe, expect, it } from 'vitest'
import { MAX_CONFIG, isImageConfig, parseImageConfig } from '../../src/oci/image-config.ts'
import type { ParsedImageConfig } from '../../src/oci/image-config.ts'

const NOTHING = {
  created: undefined,
  author: undefined,
  platform: undefined,
  user: undefined,
  workingDir: undefined,
  stopSignal: undefined,
  entrypoint: [],
  cmd: [],
  env: [],
  exposedPorts: [],
  volumes: [],
  labels: {},
}

function parse(document: unknown): ParsedImageConfig | undefined {
  return parseImageConfig(new TextEncoder().encode(JSON.stringify(document)))
}

function configOf(document: unknown) {
  return parse(document)?.config ?? expect.fail('it is none')
}

describe('a configuration', () => {
  it('says what its image is run with', () => {
    const parsed = parse({
      created: '2026-11-02T10:11:12.123456789Z',
      author: 'somebody',
      os: 'linux',
      architecture: 'arm',
      variant: 'v7',
      config: {
        User: '1000:1000',
        WorkingDir: '/srv',
        StopSignal: 'SIGQUIT',
        Entrypoint: ['/entry.sh', '--now'],
        Cmd: ['nginx'],
        Env: ['PATH=/bin', 'A='],
        ExposedPorts: { '80/tcp': {}, '443/tcp': {} },
        Volumes: { '/data': {} },
        Labels: { 'org.opencontainers.image.title': 'nginx' },
      },
      history: [
        { created: '2026-11-01T00:00:00+02:00', created_by: 'ADD x /', comment: 'base' },
        { created_by: 'ENV A=', empty_layer: true },
      ],
      rootfs: { type: 'layers', diff_ids: [] },
    })
    expect(parsed).toEqual({
      config: {
        created: Date.UTC(2026, 10, 2, 10, 11, 12, 123),
        author: 'somebody',
        platform: 'linux/arm/v7',
        user: '1000:1000',
        workingDir: '/srv',
        stopSignal: 'SIGQUIT',
        entrypoint: ['/entry.sh', '--now'],
        cmd: ['nginx'],
        env: ['PATH=/bin', 'A='],
        exposedPorts: ['80/tcp', '443/tcp'],
        volumes: ['/data'],
        labels: { 'org.opencontainers.image.title': 'nginx' },
      },
      history: [
        {
          created: Date.UTC(2026, 9, 31, 22),
          createdBy: 'ADD x /',
          comment: 'base',
          isEmpty: false,
        },
        { created: undefined, createdBy: 'ENV A=', comment: undefined, isEmpty: true },
      ],
      isCut: false,
    })
  })

  it.each<{ readonly name: string; readonly document: unknown }>([
    { name: 'empty', document: {} },
    { name: 'of nulls', document: { config: null, history: null, os: null, created: null } },
    {
      name: 'of wrong types',
      document: {
        created: 12,
        author: ['a'],
        os: { a: 1 },
        config: [1, 2],
        history: 'long',
      },
    },
    {
      name: 'with wrong members',
      document: {
        os: 'linux',
        created: '',
        config: {
          User: 0,
          Entrypoint: 'sh',
          Cmd: { 0: 'sh' },
          Env: [1, null, {}],
          ExposedPorts: ['80'],
          Volumes: 7,
          Labels: { a: 1, b: null },
        },
        history: [1, null, 'x', []],
      },
    },
    { name: 'made before there was time', document: { created: '0001-01-01T00:00:00Z' } },
    { name: 'made on no day', document: { created: '2026-02-31T99:00:00Z' } },
    { name: 'made on a day in no format', document: { created: 'November 1' } },
    {
      name: 'for a platform that is markup',
      document: { os: '<b>', architecture: 'amd64' },
    },
  ])('that is $name says nothing', ({ document }) => {
    expect(parse(document)).toEqual({ config: NOTHING, history: [], isCut: false })
  })

  it('keeps what is right among what is not', () => {
    const config = { Env: [1, 'A=1', null], Labels: { a: 1, b: 'c' }, Cmd: ['x', 2] }
    expect(configOf({ config, history: [null, { comment: 'c' }] })).toMatchObject({
      env: ['A=1'],
      labels: { b: 'c' },
      cmd: ['x'],
    })
    expect(parse({ history: [null, { comment: 'c' }] })?.history).toHaveLength(1)
  })

  it('leaves a variant out that is none', () => {
    const document = { os: 'linux', architecture: 'arm64', variant: '' }
    expect(configOf(document).platform).toBe('linux/arm64')
  })

  it('has a key that means something to JavaScript as any other', () => {
    const bytes = new TextEncoder().encode('{"config":{"Labels":{"__proto__":"x","a":"b"}}}')
    const labels = parseImageConfig(bytes)?.config.labels ?? {}
    expect(Object.entries(labels)).toEqual([
      ['__proto__', 'x'],
      ['a', 'b'],
    ])
    expect(Object.getPrototypeOf(labels)).toBe(Object.prototype)
  })
})

describe('of a long configuration', () => {
  it('each text is cut', () => {
    const long = 'x'.repeat(5000)
    const parsed = parse({ author: long, config: { Env: [long], Labels: { [long]: long } } })
    expect(parsed?.isCut).toBe(true)
    expect(parsed?.config.author).toHaveLength(2000)
    expect(parsed?.config.env[0]).toHaveLength(2000)
    const [[key, value] = ['', '']] = Object.entries(parsed?.config.labels ?? {})
    expect([key.length, value.length]).toEqual([2000, 2000])
  })

  it('each list is cut', () => {
    const many = Array.from({ length: 300 }, (_, index) => `N${index}=1`)
    const ports = Object.fromEntries(many.map((name) => [name, {}]))
    const parsed = parse({ config: { Env: many, ExposedPorts: ports } })
    expect(parsed?.isCut).toBe(true)
    expect(parsed?.config.env).toHaveLength(200)
    expect(parsed?.config.exposedPorts).toHaveLength(200)
  })

  it('the first steps of the history are shown', () => {
    const history = Array.from({ length: 9000 }, (_, index) => ({ created_by: `RUN ${index}` }))
    const parsed = parse({ history })
    expect(parsed?.isCut).toBe(true)
    expect(parsed?.history).toHaveLength(500)
    expect(parsed?.history[0]?.createdBy).toBe('RUN 0')
  })

  it('nothing is cut that just fits', () => {
    const env = Array.from({ length: 200 }, () => 'x'.repeat(2000))
    const history = Array.from({ length: 500 }, () => ({}))
    expect(parse({ config: { Env: env }, history })?.isCut).toBe(false)
  })
})

describe('no configuration', () => {
  it.each<{ readonly name: string; readonly text: string }>([
    { name: 'nothing', text: '' },
    { name: 'no JSON', text: '{"config":' },
    { name: 'a list', text: '[]' },
    { name: 'a number', text: '7' },
    { name: 'nested without an end', text: '['.repeat(500_000) },
    { name: 'nested to a great depth', text: '['.repeat(500_000) + ']'.repeat(500_000) },
    { name: 'longer than anybody reads', text: `{"a":"${'x'.repeat(MAX_CONFIG)}"}` },
  ])('is $name', ({ text }) => {
    expect(parseImageConfig(new TextEncoder().encode(text))).toBeUndefined()
  })

  it('is what is no text', () => {
    expect(parseImageConfig(new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]))).toBeUndefined()
  })
})

it.each([
  ['application/vnd.oci.image.config.v1+json', true],
  ['application/vnd.docker.container.image.v1+json', true],
  ['Application/vnd.OCI.image.config.v1+json', true],
  ['application/vnd.oci.empty.v1+json', false],
  ['application/vnd.cncf.helm.config.v1+json', false],
  ['', false],
])('a config of type %s is that of an image: %s', (mediaType, isOne) => {
  expect(isImageConfig(mediaType)).toBe(isOne)
})
