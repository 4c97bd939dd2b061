// Composition of the prefetch: mirrored repositories as that job sees them, and its share of what upstreams may be asked.

import type { Config } from '../config.ts'
import { UpstreamShare } from '../jobs/upstream-share.ts'
import { PrefetchTask } from '../jobs/prefetch.ts'
import type { PrefetchSource } from '../jobs/prefetch-image.ts'
import { MAX_CONFIG } from '../oci/image-config.ts'
import type { Seams } from '../seams.ts'
import { BlobStore } from '../storage/blobs.ts'
import { canonicalName, mirroredBlobKey } from '../storage/keys.ts'
import type { MirroredName } from '../storage/keys.ts'
import type { AccessServices } from './access.ts'
import type { MirrorServices } from './mirror.ts'

/** What a prefetch is made of. */
export interface PrefetchServices {
  readonly env: Env
  readonly seams: Seams
  readonly config: Config
  readonly access: AccessServices
  readonly mirror: MirrorServices
}

/** The task that fetches images. */
export function prefetchTask(given: PrefetchServices): PrefetchTask {
  const { config, seams } = given
  return new PrefetchTask({
    config,
    share: upstreamShare(given),
    sourceOf: (name) => sourceOf(name, given),
    now: seams.now,
  })
}

/** What jobs may ask of upstreams. */
function upstreamShare({ access, config, mirror, seams }: PrefetchServices): UpstreamShare {
  return new UpstreamShare({
    switches: () => access.switches(),
    gates: async (host) => {
      const upstream = config.upstreams.get(host)
      return upstream === undefined ? [] : mirror.gateStatuses(upstream)
    },
    now: seams.now,
  })
}

function sourceOf(name: MirroredName, { config, env }: PrefetchServices): PrefetchSource {
  const ledger = () => env.MIRROR_LEDGER.getByName(canonicalName(name))
  const upstream = config.upstreams.get(name.host)
  if (upstream === undefined) throw new Error(`${name.host} is not configured`)
  const isPrivate = upstream.isPrivate(name.repository)
  const keyOf = (digest: Parameters<PrefetchSource['stored']>[0]) =>
    mirroredBlobKey(name, isPrivate, digest)
  const blobs = new BlobStore(env.BLOBS)
  return {
    host: name.host,
    ttl: (tag) => upstream.tagTTL(name.repository, tag),
    keptTag: (tag) => ledger().keptTag(name, tag),
    tag: (tag) => ledger().tag(name, tag, undefined),
    knownManifest: (digest) => ledger().knownManifest(name, digest),
    manifest: (digest) => ledger().manifest(name, digest),
    stored: (digest) => blobs.head(keyOf(digest)),
    begin: (digest) => {
      const key = keyOf(digest)
      return env.BLOB_FILL.getByName(key).begin({ ...name, digest, key, wants: 'bytes' })
    },
    end: (digest, id) => env.BLOB_FILL.getByName(keyOf(digest)).end(id),
    read: async (digest) => {
      const stored = await blobs.get(keyOf(digest), {
        kind: 'slice',
        first: 0,
        last: MAX_CONFIG - 1,
      })
      if (stored === undefined || 'unsatisfiable' in stored) return undefined
      return new Uint8Array(await new Response(stored.body).arrayBuffer())
    },
  }
}
