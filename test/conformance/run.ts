// `npm run conformance`: the official suite, as 1.1 and dev, against repositories that entrepot mirrors (read-only
// form), and in full against the sample upstream, which has to be a registry to stand for one.

import { Workspace } from '../clients/process.ts'
import { Registry } from '../clients/registry.ts'
import { Upstream } from '../clients/upstream.ts'
import { SampleUpstream } from '../../cli/upstream.ts'
import { listenUpstream } from '../../cli/upstream-listener.ts'
import { type Abilities, misreadManifests, seed } from './content.ts'
import { installSuite, type Report, runSuite, type Settings, shortcomings } from './suite.ts'

const VERSIONS = ['1.1', 'dev'] as const

/** What a registry that can only be read must have been asked. */
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

/** A registry that the suite is run against. */
interface Candidate {
  readonly name: string
  readonly apis: readonly string[]
  readonly settingsOf: (version: string) => Settings
  /** What is wrong that the suite does not see. */
  readonly check: () => Promise<readonly string[]>
}

async function candidates(workspace: Workspace): Promise<readonly Candidate[]> {
  const sample = await listenUpstream(new SampleUpstream().handle)
  workspace.onClose(() => sample.close())
  const debian = await Upstream.start(workspace, 'docker-registry')
  const registry = await Registry.start(workspace, 'mirror', {
    UPSTREAMS: { 'sample.test': { url: sample.url }, 'debian.test': { url: debian.url } },
    DEFAULT_UPSTREAM: '',
  })
  return [
    sampleCandidate(sample.url),
    await mirrorCandidate(registry, 'sample.test', {
      url: sample.url,
      sha512: true,
      referrers: true,
    }),
    await mirrorCandidate(registry, 'debian.test', {
      url: debian.url,
      sha512: false,
      referrers: false,
    }),
  ]
}

function sampleCandidate(url: string): Candidate {
  return {
    name: 'sample upstream, in full',
    apis: [...READ_APIS, 'Manifest put by tag', 'Blob chunked'],
    settingsOf: (version) => ({
      OCI_REGISTRY: new URL(url).host,
      OCI_REPO1: `conformance/first-${version}`,
      OCI_REPO2: `conformance/second-${version}`,
    }),
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

async function run(workspace: Workspace): Promise<number> {
  const program = await installSuite(workspace)
  let failures = 0
  for (const { name, apis, settingsOf, check } of await candidates(workspace)) {
    for (const version of VERSIONS) {
      const settings = { ...settingsOf(version), OCI_VERSION: version }
      const report = await runSuite(workspace, program, settings)
      const causes = [...shortcomings(report, apis), ...(await check())]
      write(`${causes.length === 0 ? 'ok  ' : 'FAIL'} ${name}, ${version}: ${countsOf(report)}`)
      if (causes.length > 0) {
        failures += 1
        write(`${causes.join('\n')}\n${report.text}\n${workspace.tails(30)}`)
      }
    }
  }
  return failures
}

function countsOf({ counts }: Report): string {
  const of = (status: string): number => counts.get(status) ?? 0
  const failed = of('FAIL') + of('Error')
  return `${of('Pass')} pass, ${failed} fail, ${of('Skip')} skip (${of('Disabled')} disabled)`
}

function write(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function main(): Promise<number> {
  const workspace = new Workspace()
  try {
    return (await run(workspace)) === 0 ? 0 : 1
  } catch (error) {
    write(error instanceof Error ? error.message : String(error))
    return 1
  } finally {
    await workspace.close()
  }
}

process.exit(await main())
