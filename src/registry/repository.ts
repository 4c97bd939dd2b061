// A repository as requests see it: mirrored or hosted. Both can be read in the same words; what changes a
// repository exists on a hosted one only, so nothing can be asked of a mirror that it must not do.

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Page } from '../oci/page.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import { takeReferrers } from '../oci/referrers.ts'
import type { ReferrersPage } from '../oci/referrers.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import type { PushAnswer, PushedManifest, UploadStub } from '../hosted/repository.ts'
import type { BlobAnswer, BlobQuestion } from '../mirror/blobs.ts'
import type { ManifestAnswer } from '../mirror/ledger.ts'
import type { ListingAnswer } from '../mirror/listings.ts'
import type { MirroredRepository } from '../mirror/repository.ts'

/** What can be read of any repository. */
interface Readable {
  readonly blobs: { get(digest: Digest, question: BlobQuestion): Promise<BlobAnswer> }
  manifest(reference: Reference): Promise<ManifestAnswer>
  tags(page: Page): Promise<ListingAnswer<string>>
  /** One page of the referrers of a digest, of the types that are asked for. */
  referrers(digest: Digest, page: ReferrersPage): Promise<ListingAnswer<Descriptor>>
}

/** A repository of an upstream. */
export interface Mirrored extends Readable {
  readonly kind: 'mirrored'
}

/** A repository of our own. */
export interface Hosted extends Readable {
  readonly kind: 'hosted'
  putManifest(put: PushedManifest): Promise<PushAnswer>
  /** These say whether there was anything to delete. */
  deleteTag(tag: Tag): Promise<boolean>
  deleteManifest(digest: Digest): Promise<boolean>
  deleteBlob(digest: Digest): Promise<boolean>
  /** Takes a blob over from the first of these repositories that has it. */
  mount(digest: Digest, from: readonly RepositoryName[]): Promise<boolean>
  /** The repositories that have a blob, whoever may see them. */
  holders(digest: Digest): Promise<readonly RepositoryName[]>
  upload(session: string): UploadStub
}

/** A repository that a request may mean. */
export type Repository = Mirrored | Hosted

/** A mirror among repositories: it has all referrers at once, and the page is cut here. */
export function asRepository(repository: MirroredRepository): Mirrored {
  return {
    kind: 'mirrored',
    blobs: { get: (digest, question) => repository.blobs.get(digest, question) },
    manifest: (reference) => repository.manifest(reference),
    tags: (page) => repository.tags(page),
    referrers: async (digest, page) => {
      const answer = await repository.referrers(digest)
      return answer.ok ? { ...answer, ...takeReferrers(answer.items, page) } : answer
    },
  }
}
