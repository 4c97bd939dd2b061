// A registry of hosted repositories in a world of its own: the real state classes behind every object, and
// clients that push to it as clients do.

import { Claims } from '../../src/hosted/claims.ts'
import type { Adoption, ClaimAnswer, Content } from '../../src/hosted/claims.ts'
import { RepositoryLedger } from '../../src/hosted/ledger.ts'
import type { HoldAnswer, PutAnswer, Removal } from '../../src/hosted/ledger.ts'
import { repositoryOf } from '../../src/hosted/presence.ts'
import { Records } from '../../src/hosted/records.ts'
import { SpareBuffers } from '../../src/hosted/spare-buffers.ts'
import { Upload } from '../../src/hosted/upload-session.ts'
import type { CloseAnswer } from '../../src/hosted/upload-session.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { Tag } from '../../src/oci/reference.ts'
import type { RepositoryName } from '../../src/oci/repository-name.ts'
import { ManifestStore } from '../../src/storage/manifests.ts'
import { RepositoryMarkers } from '../../src/storage/repositories.ts'
import { bucketOf } from './bucket.ts'
import type { Stored } from './bucket.ts'
import type { SampleBlob, Image } from './contents.ts'
import type { Life } from './disk.ts'
import { World } from './world.ts'
import type { Wakeable, WorldGiven } from './world.ts'

/** Names of the repositories of the model; one is the beginning of another. */
export const REPOSITORIES = ['foo', 'foo-bar', 'foo/bar'] as readonly string[] as RepositoryName[]

/** The name of a ledger's object. */
export const ledgerOf = (repository: RepositoryName) => `ledger ${repository}`
/** The name of the object that keeps the claims of a digest. */
export const claimsOf = (digest: string) => `claims ${digest}`
/** The name of an upload's object. */
export const uploadOf = (repository: RepositoryName, session: number) =>
  `upload ${repository} ${session}`

/** The registry of one history. */
export class Registry {
  readonly world: World
  readonly stored: Stored = new Map()
  #sessions = 0

  constructor(given: Omit<WorldGiven, 'make'>) {
    this.world = new World({
      ...given,
      make: (name, life, storage) => this.#make(name, life, storage),
    })
  }

  /** A blob of a repository, wanted by whoever is about to push. */
  blob(repository: RepositoryName, { digest }: SampleBlob, isWanted: boolean) {
    return this.#toLedger(repository, 'blob', (ledger) => ledger.blob(digest, isWanted))
  }

  /** A new session; its name. */
  async open(repository: RepositoryName): Promise<string> {
    const to = uploadOf(repository, ++this.#sessions)
    await this.world.send<Upload, void>({
      life: undefined,
      label: `open ${to}`,
      to,
      call: (upload) => upload.open(),
    })
    return to
  }

  /** The end of a session, with all bytes. */
  close(to: string, { name, digest, bytes }: SampleBlob): Promise<CloseAnswer> {
    const closing = { digest, range: undefined, length: bytes.byteLength }
    return this.world.send<Upload, CloseAnswer>({
      life: undefined,
      label: `close ${to} as ${name}`,
      to,
      call: (upload) => upload.close(closing, bodyOf(bytes)),
    })
  }

  /** Makes a blob belong to a repository from which the caller may not read it: it may read it elsewhere. */
  hold(repository: RepositoryName, { digest }: SampleBlob): Promise<HoldAnswer> {
    return this.#toLedger(repository, 'hold', (ledger) => ledger.hold(digest))
  }

  putManifest(
    repository: RepositoryName,
    image: Image,
    tags: readonly Tag[] = [],
  ): Promise<PutAnswer> {
    return this.#toLedger(repository, `put ${image.name}`, (ledger) =>
      ledger.putManifest({ ...image, tags }),
    )
  }

  deleteBlob(repository: RepositoryName, { digest }: SampleBlob): Promise<Removal> {
    return this.#toLedger(repository, 'delete blob', (ledger) => ledger.deleteBlob(digest))
  }

  deleteManifest(repository: RepositoryName, { digest }: Image): Promise<Removal> {
    return this.#toLedger(repository, 'delete manifest', (ledger) => ledger.deleteManifest(digest))
  }

  deleteTag(repository: RepositoryName, tag: Tag): Promise<Removal> {
    return this.#toLedger(repository, 'delete tag', (ledger) => ledger.deleteTag(tag))
  }

  #toLedger<Value>(
    repository: RepositoryName,
    what: string,
    call: (ledger: RepositoryLedger) => Value | Promise<Value>,
  ): Promise<Value> {
    const to = ledgerOf(repository)
    return this.world.send<RepositoryLedger, Value>({
      life: undefined,
      label: `${what} (${to})`,
      to,
      call,
    })
  }

  #make(name: string, life: Life, storage: DurableObjectStorage): Wakeable {
    const bucket = bucketOf(this.world, life, this.stored)
    const seams = {
      now: () => this.world.now,
      // A failure is logged on the platform too.
      defer: (work: Promise<unknown>) => void work.catch(() => undefined),
      log: () => undefined,
    }
    const [kind = '', of = '', session = ''] = name.split(' ')
    const repository = of as RepositoryName
    switch (kind) {
      case 'claims':
        return new Claims({ storage, bucket, ...seams })
      case 'ledger':
        return this.#makeLedger({ repository, life, storage, bucket, seams })
      default:
        return new Upload({
          name: { repository, session },
          storage,
          bucket,
          spareBuffers: new SpareBuffers(1),
          ...this.#uploadStubs(repository, life),
          ...seams,
        })
    }
  }

  #makeLedger(making: {
    readonly repository: RepositoryName
    readonly life: Life
    readonly storage: DurableObjectStorage
    readonly bucket: R2Bucket
    readonly seams: Pick<ConstructorParameters<typeof RepositoryLedger>[0], 'now' | 'defer' | 'log'>
  }): Wakeable {
    const { repository, life, storage, bucket, seams } = making
    const ledger = new RepositoryLedger({
      repository,
      storage,
      bucket,
      manifests: new ManifestStore(bucket),
      markers: new RepositoryMarkers(bucket),
      claimsOf: (digest) => ({
        adopt: (content) =>
          this.#toClaims<Adoption>(life, digest, {
            what: 'adopt',
            call: (claims) => claims.adopt(content),
          }),
        claim: (name, counter) =>
          this.#toClaims<ClaimAnswer>(life, digest, {
            what: `claim ${name} ${counter}`,
            call: (claims) => claims.claim(name, counter),
          }),
        release: (name, counter) =>
          this.#toClaims(life, digest, {
            what: `release ${name} ${counter}`,
            call: (claims) => claims.release(name, counter),
          }),
      }),
      ...seams,
    })
    // As its shell does: an alarm is told no name.
    const ring = ledger.alarm.bind(ledger)
    const alarm = async () => {
      if (repositoryOf(new Records(storage)) !== undefined) await ring()
    }
    return Object.assign(ledger, { alarm })
  }

  #uploadStubs(repository: RepositoryName, life: Life) {
    return {
      adopt: (digest: Digest, content: Content) =>
        this.#toClaims<Adoption>(life, digest, {
          what: 'adopt',
          call: (claims) => claims.adopt(content),
        }),
      disown: (digest: Digest, id: string) =>
        this.#toClaims(life, digest, {
          what: 'disown',
          call: (claims) => claims.disown(id),
        }),
      hold: (digest: Digest) =>
        this.world.send<RepositoryLedger, HoldAnswer>({
          life,
          label: `hold by upload (${ledgerOf(repository)})`,
          to: ledgerOf(repository),
          call: (ledger) => ledger.hold(digest),
        }),
    }
  }

  #toClaims<Value>(
    life: Life,
    digest: Digest,
    { what, call }: { what: string; call: (claims: Claims) => Promise<Value> },
  ): Promise<Value> {
    const to = claimsOf(digest)
    return this.world.send<Claims, Value>({
      life,
      label: `${what} (${to.slice(0, 20)})`,
      to,
      mayRepeat: true,
      call,
    })
  }
}

function bodyOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes.slice())
      controller.close()
    },
  })
}
