// What the official suite is run against: entrepot's hosted repositories and the sample upstream in full, and
// entrepot's mirrors in the suite's read-only form.

import { randomBytes } from 'node:crypto'
import type { Action } from '../../src/auth/account.ts'
import { configured, type Login, makeLogin } from '../clients/account.ts'
import type { Workspace } from '../clients/process.ts'
import { Registry } from '../clients/registry.ts'
import { Upstream } from '../clients/upstream.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import { listenUpstream } from '../../cli/upstream-listener.ts'
import { type Abilities, misreadManifests, seed } from './content.ts'
import { type Combination, labelOf } from './plan.ts'
import type { Settings } from './suite.ts'

/** A registry that the suite is run against. */
export interface Candidate {
  readonly name: string
  /** The APIs that must have been asked. */
  readonly apis: readonly string[]
  /** Whether the suite may ask for everything that it knows. */
  readonly isInFull: boolean
  /** Whether it has accounts, so that it can be asked by somebody. */
  readonly hasLogin: boolean
  readonly settingsOf: (combination: Combination) => Settings
  /** What is wrong that the suite does not see. */
  readonly check: () => Promise<readonly string[]>
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

/** Starts them all. */
export async function startCandidates(workspace: Workspace): Promise<readonly Candidate[]> {
  const sample = await listenUpstream(new SampleUpstream().handle)
  workspace.onClose(() => sample.close())
  const debian = await Upstream.start(workspace, 'docker-registry')
  const mirror = await Registry.start(workspace, 'mirror', {
    UPSTREAMS: { 'sample.test': { url: sample.url }, 'debian.test': { url: debian.url } },
    DEFAULT_UPSTREAM: '',
  })
  const login = await makeLogin(workspace, 'suite')
  const hosted = await Registry.start(workspace, 'hosted', {
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
    candidateInFull('entrepot, hosted', hosted.host, login),
    candidateInFull('sample upstream', new URL(sample.url).host),
    await mirrorCandidate(mirror, 'sample.test', {
      url: sample.url,
      sha512: true,
      referrers: true,
    }),
    await mirrorCandidate(mirror, 'debian.test', {
      url: debian.url,
      sha512: false,
      referrers: false,
    }),
  ]
}

/** With a login, also of repositories that are its alone. */
function candidateInFull(name: string, host: string, login?: Login): Candidate {
  return {
    name,
    apis: EVERY_API,
    isInFull: true,
    hasLogin: login !== undefined,
    settingsOf: (combination) => {
      const pattern = combination.isSparse ? 'sparse' : 'conformance'
      const owner = combination.hasLogin ? 'private/' : ''
      // New in every run, so that what another has left, and deleted, cannot matter.
      const run = `${owner}${pattern}/${randomBytes(4).toString('hex')}/${labelOf(combination)}`
      const prefix = run.replaceAll(' ', '-')
      return {
        OCI_REGISTRY: host,
        OCI_REPO1: `${prefix}/first`,
        OCI_REPO2: `${prefix}/second`,
        ...(combination.hasLogin &&
          login && { OCI_USERNAME: login.name, OCI_PASSWORD: login.secret }),
      }
    },
    check: async () => [],
  }
}

async function mirrorCandidate(
  registry: Registry,
  host: string,
  upstream: Abilities & { readonly url: string },
): Promise<Candidate> {
  const repository = 'conformance/read'
  const { settings, manifests } = await seed(upstream.url, repository, upstream)
  const name = `${host}/${repository}`
  return {
    name: `entrepot, mirror of ${host}`,
    apis: READ_APIS,
    isInFull: false,
    hasLogin: false,
    settingsOf: () => ({
      ...READ_ONLY,
      ...settings,
      OCI_REGISTRY: registry.host,
      OCI_REPO1: name,
      OCI_REPO2: `${host}/conformance/other`,
    }),
    check: () => misreadManifests(`${registry.url}/v2/${name}`, manifests),
  }
}
