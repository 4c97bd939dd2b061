// Composition of what is hosted: the repositories that requests see, and the state behind the three kinds of
// objects that keep them.

import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { Claims } from '../hosted/claims.ts'
import { RepositoryLedger } from '../hosted/ledger.ts'
import { HostedRepository } from '../hosted/repository.ts'
import type { LedgerStub, UploadStub } from '../hosted/repository.ts'
import { Upload } from '../hosted/upload-session.ts'
import type { UploadName } from '../hosted/upload-session.ts'
import type { SpareBuffers } from '../hosted/spare-buffers.ts'
import { FREE } from '../hosted/tag-rules.ts'
import { answered } from '../hosted/unavailable.ts'
import type { Seams } from '../seams.ts'
import { BlobStore } from '../storage/blobs.ts'
import { ManifestStore } from '../storage/manifests.ts'
import type { Memory } from '../storage/memory.ts'
import { RepositoryMarkers } from '../storage/repositories.ts'

/** What an isolate keeps of hosted repositories. */
export interface HostedMemory {
  /** Bytes of manifests, by repository and digest. */
  readonly manifests: Memory<Uint8Array>
  /** Ids of contents that it has seen in R2. */
  readonly seen: Memory<true>
}

/** What hosted repositories are made of. */
export interface HostedServicesGiven {
  readonly env: Env
  readonly seams: Seams
  readonly memory: HostedMemory
  readonly spareBuffers: SpareBuffers
  readonly isSparse: (repository: RepositoryName) => boolean
  /** Patterns of tags that nobody moves or removes. */
  readonly immutableOf: (repository: RepositoryName) => readonly string[]
}

/** Makes hosted repositories and the state of their objects. */
export class HostedServices {
  readonly #given: HostedServicesGiven

  constructor(given: HostedServicesGiven) {
    this.#given = given
  }

  /** A repository as a request sees it. */
  repository(name: RepositoryName): HostedRepository {
    const { env, seams, memory, isSparse, immutableOf } = this.#given
    return new HostedRepository({
      name,
      isSparse: isSparse(name),
      immutable: immutableOf(name),
      ledgerOf: (repository) => this.#ledgerStub(repository),
      holdersOf: async (digest) => env.BLOB_CLAIMS.getByName(digest).holders(),
      uploadOf: (session) => this.#uploadStub({ repository: name, session }),
      blobs: new BlobStore(env.BLOBS),
      manifests: new ManifestStore(env.BLOBS),
      memory: memory.manifests,
      seen: memory.seen,
      now: seams.now,
      log: seams.log,
    })
  }

  /** The state behind a `HostedLedger`. */
  ledger(repository: RepositoryName, storage: DurableObjectStorage): RepositoryLedger {
    const { env, seams } = this.#given
    return new RepositoryLedger({
      repository,
      storage,
      bucket: env.BLOBS,
      manifests: new ManifestStore(env.BLOBS),
      markers: new RepositoryMarkers(env.BLOBS),
      claimsOf: (digest) => env.BLOB_CLAIMS.getByName(digest),
      ...seams,
    })
  }

  /** The state behind a `BlobClaims`. */
  claims(storage: DurableObjectStorage): Claims {
    const { env, seams } = this.#given
    return new Claims({ storage, bucket: env.BLOBS, ...seams })
  }

  /** The state behind an `UploadSession`. */
  upload(name: UploadName, storage: DurableObjectStorage): Upload {
    const { env, seams } = this.#given
    const claimsOf = (digest: Digest) => env.BLOB_CLAIMS.getByName(digest)
    return new Upload({
      name,
      storage,
      bucket: env.BLOBS,
      spareBuffers: this.#given.spareBuffers,
      adopt: (digest, content) => claimsOf(digest).adopt(content),
      disown: (digest, id) => claimsOf(digest).disown(id),
      hold: (digest) => answered(this.#ledgerStub(name.repository).hold(digest)),
      ...seams,
    })
  }

  #ledgerStub(name: RepositoryName): LedgerStub {
    const stub = this.#given.env.HOSTED_LEDGER.getByName(name)
    return {
      blob: (digest, isWanted) => stub.blob(name, digest, isWanted),
      hold: (digest) => stub.hold(name, digest),
      relocate: (digest) => stub.relocate(name, digest),
      manifest: (reference) => stub.manifest(name, reference),
      putManifest: (put) => stub.putManifest(name, put),
      deleteTag: (tag, rules) => stub.deleteTag(name, tag, rules ?? FREE),
      deleteManifest: (digest, rules) => stub.deleteManifest(name, digest, rules ?? FREE),
      deleteBlob: (digest, rules) => stub.deleteBlob(name, digest, rules ?? FREE),
      tags: (page) => stub.tags(name, page),
      referrers: (digest, page) => stub.referrers(name, digest, page),
    }
  }

  #uploadStub(name: UploadName): UploadStub {
    const stub = this.#given.env.UPLOAD_SESSION.getByName(`${name.repository} ${name.session}`)
    return {
      open: () => stub.open(name),
      append: (chunk, body) => stub.append(name, chunk, body),
      close: (closing, body) => stub.close(name, closing, body),
      status: () => stub.status(name),
      cancel: () => stub.cancel(name),
    }
  }
}
