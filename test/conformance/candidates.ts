// What the official suite is run against: entrepot's hosted repositories and the sample upstream in full, and
// entrepot's mirrors in the suite's read-only form; entrepot by itself as it redirects and as it streams.

import { randomBytes } from 'node:crypto'
import type { Action } from '../../src/auth/account.ts'
import { configured, type Login, makeLogin } from '../clients/account.ts'
import type { Workspace } from '../clients/process.ts'
import { Registry, type Vars } from '../clients/registry.ts'
import { Upstream } from '../clients/upstream.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import { listenUpstream } from '../../cli/upstream-listener.ts'
import { misreadManifests, seed, type Storable } from './content.ts'
import { type Abilities, type Combination, labelOf } from './plan.ts'
import type { Settings } from './suite.ts'

/** A registry that the suite is run against. */
export interface Candidate {
  readonly name: string
  /** The APIs that must have been asked. */
  readonly apis: readonly string[]
  /** Whether the suite may ask for everything that it knows. */
  readonly isInFull: boolean
  readonly abilities: Abilities
  readonly settingsOf: (combination: Combination) => Settings
  /** The entrepot that is asked in a combination; the sample upstream is none. */
  readonly registryOf?: (combination: Combination) => Registry
  /** What is wrong that the suite does not see. */
  readonly check: (combination: Combination) => Promise<readonly string[]>
}

const READ_APIS = [
  'Ping',
  'Tag listing',
  'Referrers',
  'Manifest get by tag',
  'Manifest get by digest',
  'Manifest head by tag',
  'Manifest head by digest',
  'Blob get',
  'Blob head',
]

const EVERY_API = [
  ...READ_APIS,
  'Blob get range',
  'Blob push',
  'Blob post only',
  'Blob post put',
  'Blob chunked',
  'Blob streaming',
  'Blob mount',
  'Blob anonymous mount',
  'Blob upload cancel',
  'Blob delete',
  'Blob delete atomic',
  'Manifest put by digest',
  'Manifest put by tag',
  'Manifest put with tag params',
  'Manifest put with subject',
  'Manifest delete',
  'Manifest delete atomic',
  'Tag delete',
  'Tag delete atomic',
]

const READ_ONLY = {
  OCI_API_PUSH: 'false',
  OCI_API_BLOBS_DELETE: 'false',
  OCI_API_BLOBS_ATOMIC: 'false',
  OCI_API_BLOBS_UPLOAD_CANCEL: 'false',
  OCI_API_MANIFESTS_DELETE: 'false',
  OCI_API_MANIFESTS_ATOMIC: 'false',
  OCI_API_TAGS_DELETE: 'false',
  OCI_API_TAGS_ATOMIC: 'false',
  // Checked by `misreadManifests` instead.
  OCI_API_MANIFESTS_DIGEST_HEADER: 'false',
} as const satisfies Settings

const EVERYTHING: readonly Action[] = ['pull', 'push', 'delete']

/** One configuration twice: as `npm start` has it, and with every blob streamed. */
interface Pair {
  readonly redirecting: Registry
  readonly streaming: Registry
}

/** Starts them all. */
export async function startCandidates(workspace: Workspace): Promise<readonly Candidate[]> {
  const sample = await listenUpstream(new SampleUpstream().handle)
  workspace.onClose(() => sample.close())
  const debian = await Upstream.start(workspace, 'docker-registry')
  const mirrors = await startPair(workspace, 'mirror', {
    UPSTREAMS: { 'sample.test': { url: sample.url }, 'debian.test': { url: debian.url } },
    DEFAULT_UPSTREAM: '',
  })
  const login = await makeLogin(workspace, 'suite')
  const hosted = await startPair(workspace, 'hosted', {
    UPSTREAMS: {},
    DEFAULT_UPSTREAM: '',
    HOSTED: [
      'conformance/**',
      { pattern: 'sparse/**', sparse: true },
      'private/conformance/**',
      { pattern: 'private/sparse/**', sparse: true },
    ],
    ANONYMOUS: [{ repositories: ['conformance/**', 'sparse/**'], actions: EVERYTHING }],
    ACCOUNTS: [await configured(login, [{ repositories: ['private/**'], actions: EVERYTHING }])],
  })
  return [
    hostedCandidate(hosted, login),
    {
      name: 'sample upstream',
      ...IN_FULL,
      abilities: { hasLogin: false, hasRedirects: false },
      settingsOf: (combination) => newRepositories(new URL(sample.url).host, combination),
    },
    await mirrorCandidate(mirrors, 'sample.test', {
      url: sample.url,
      sha512: true,
      referrers: true,
    }),
    await mirrorCandidate(mirrors, 'debian.test', {
      url: debian.url,
      sha512: false,
      referrers: false,
    }),
  ]
}

async function startPair(workspace: Workspace, name: string, vars: Vars): Promise<Pair> {
  return {
    redirecting: await Registry.start(workspace, `${name}-redirecting`, vars),
    streaming: await Registry.start(workspace, `${name}-streaming`, { ...vars, REDIRECT: 'never' }),
  }
}

function choose({ redirecting, streaming }: Pair, { isRedirected }: Combination): Registry {
  return isRedirected ? redirecting : streaming
}

const IN_FULL = {
  apis: EVERY_API,
  isInFull: true,
  check: async () => [],
} as const satisfies Partial<Candidate>

/** With a login, of repositories that are its alone. */
function hostedCandidate(pair: Pair, { name, secret }: Login): Candidate {
  const registryOf = (combination: Combination): Registry => choose(pair, combination)
  return {
    name: 'entrepot, hosted',
    ...IN_FULL,
    abilities: { hasLogin: true, hasRedirects: true },
    registryOf,
    settingsOf: (combination) => ({
      ...newRepositories(registryOf(combination).host, combination),
      ...(combination.hasLogin && { OCI_USERNAME: name, OCI_PASSWORD: secret }),
    }),
  }
}

/** New in every run, so that what another has left, and deleted, cannot matter. */
function newRepositories(host: string, combination: Combination): Settings {
  const pattern = combination.isSparse ? 'sparse' : 'conformance'
  const owner = combination.hasLogin ? 'private/' : ''
  const run = `${owner}${pattern}/${randomBytes(4).toString('hex')}/${labelOf(combination)}`
  const prefix = run.replaceAll(' ', '-')
  return { OCI_REGISTRY: host, OCI_REPO1: `${prefix}/first`, OCI_REPO2: `${prefix}/second` }
}

async function mirrorCandidate(
  pair: Pair,
  host: string,
  upstream: Storable & { readonly url: string },
): Promise<Candidate> {
  const repository = 'conformance/read'
  const { settings, manifests } = await seed(upstream.url, repository, upstream)
  const name = `${host}/${repository}`
  const registryOf = (combination: Combination): Registry => choose(pair, combination)
  return {
    name: `entrepot, mirror of ${host}`,
    apis: READ_APIS,
    isInFull: false,
    abilities: { hasLogin: false, hasRedirects: true },
    registryOf,
    settingsOf: (combination) => ({
      ...READ_ONLY,
      ...settings,
      OCI_REGISTRY: registryOf(combination).host,
      OCI_REPO1: name,
      OCI_REPO2: `${host}/conformance/other`,
    }),
    check: (combination) =>
      misreadManifests(`${registryOf(combination).url}/v2/${name}`, manifests),
  }
}
