// Composition of imports: mirrored repositories as sources, and the way to any other registry, spoken to as if it were
// an upstream that only this job knows.

import { ConfigError, immutableTags } from '../../config.ts'
import type { Config } from '../../config.ts'
import { settingOf } from '../../config/setting.ts'
import { readUpstream } from '../../config/upstream.ts'
import { isFixed } from '../../hosted/tag-rules.ts'
import { hostedName, parseImport } from '../../jobs/import-order.ts'
import type { ImportOrder, ImportState } from '../../jobs/import-order.ts'
import { RemoteRegistry } from '../../jobs/import-remote.ts'
import { MirroredSource } from '../../jobs/import-source.ts'
import { ImportTask } from '../../jobs/import.ts'
import { OrderError } from '../../jobs/job.ts'
import type { JobOrder } from '../../jobs/job.ts'
import type { Admit } from '../../mirror/admission.ts'
import type { Outbound } from '../../outbound.ts'
import { asRepository } from '../../registry/repository.ts'
import type { Seams } from '../../seams.ts'
import type { Credential, Upstream } from '../../upstream/upstream.ts'
import type { AccessServices } from '../access.ts'
import type { HostedServices } from '../hosted.ts'
import type { MirrorServices } from '../mirror.ts'

type RegistryOrder = ImportOrder & { readonly form: 'registry' }

/** What an import is made of. */
export interface ImportTaskGiven {
  readonly seams: Seams
  readonly config: Config
  readonly outbound: Outbound
  readonly access: AccessServices
  readonly hosted: HostedServices
  readonly mirror: MirrorServices
}

/** Reads an order. @throws {OrderError} */
export function readImport(
  members: Readonly<Record<string, unknown>>,
  { config }: Pick<ImportTaskGiven, 'config'>,
): JobOrder {
  const order = parseImport(members, config)
  // What was just read has this form.
  const { order: ordered } = order.state as ImportState
  if (ordered.form === 'registry') upstreamOf(ordered)
  return order
}

/** The task that carries it out. */
export function importTask(given: ImportTaskGiven): ImportTask {
  const { seams, config, outbound, access, hosted, mirror } = given
  const mayAsk = async (host: string): Promise<boolean> => (await access.contact(host)) !== 'none'
  return new ImportTask({
    hosted: (repository) => hosted.repository(repository),
    hostedName: (name) => hostedName(name, config),
    isFixed: (repository, tag) =>
      isFixed(tag, { mayMove: true, immutable: immutableTags(config, repository) }),
    mirrored: (host, repository) => {
      const upstream = config.upstreams.get(host)
      if (upstream === undefined) throw new Error(`${host} is not configured any more`)
      const admit: Admit = async () =>
        (await mayAsk(host)) ? { ok: true } : { ok: false, retryAfter: 'closed' }
      return new MirroredSource(
        asRepository(mirror.repository(upstream, { host, repository }, admit)),
      )
    },
    remote: (order) => new RemoteRegistry({ upstream: upstreamOf(order), outbound, ...seams }),
    mayAsk,
    isReadOnly: async () => (await access.switches()).readOnly,
    now: seams.now,
  })
}

/** The registry of an order as an upstream. @throws {OrderError} where it may not be reached. */
function upstreamOf({ from, realms, credential }: RegistryOrder): Upstream {
  const entry = settingOf('from', { url: from, private: true, realms }, false)
  const credentials: readonly Credential[] =
    credential === undefined ? [] : [{ id: 'import', ...credential }]
  try {
    return readUpstream(new URL(from).host, entry, () => credentials).upstream
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new OrderError('from', error.message)
  }
}
