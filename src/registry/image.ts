// What there is to see of images, of both kinds in the same words: the lines of a list, the images of one repository,
// and one manifest with all that is known of it here. Times are milliseconds, sizes are bytes.

import type { Annotations } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { ImageConfig, ImageHistory } from '../oci/image-config.ts'
import type { Tag } from '../oci/reference.ts'
import type { RepositoryKind } from '../storage/keys.ts'

/** Pulls of one day that had any. */
export interface DayPulls {
  /** `2026-11-23`, in UTC. */
  readonly day: string
  readonly pulls: number
}

/** One repository in a list. While its ledger is away nothing is known but its name. */
export interface RepositoryLine {
  readonly name: string
  readonly kind: RepositoryKind
  /** How many; `undefined`, like the other figures: its ledger is away. */
  readonly tags: number | undefined
  readonly manifests: number | undefined
  /** Of manifests and blobs, each once. */
  readonly bytes: number | undefined
  readonly firstSeen: number | undefined
  /** `undefined`: never, as far as is known. */
  readonly lastPull: number | undefined
  /** The newest thirty days that had any, the oldest of them first. */
  readonly pulls: readonly DayPulls[]
}

/** Some repositories in the order of their names; `next`: after which name the next page begins. */
export interface RepositoryList {
  readonly images: readonly RepositoryLine[]
  readonly next: string | undefined
}

/** What of all repositories is to be listed. */
export interface ImageQuery {
  /** Part of a name, in whatever case. */
  readonly search?: string | undefined
  readonly kinds: readonly RepositoryKind[]
  /** After this name, which need not be one. */
  readonly after?: string | undefined
  readonly limit: number
  readonly mayRead: (kind: RepositoryKind, canonical: string) => boolean
  /** With one of these begins every name of a kind that may be read; `undefined`: it may be any. */
  readonly beginnings?: (kind: RepositoryKind) => readonly string[]
}

/** An image as its repository lists it: a manifest that has a tag, or that no other one names. */
export interface ImageLine {
  readonly digest: Digest
  readonly mediaType: string
  readonly artifactType: string | undefined
  readonly tags: readonly Tag[]
  /** `linux/amd64`, `linux/arm/v7`, … of an index; none where they are not known. */
  readonly platforms: readonly string[]
  /** Of its manifests and all blobs they name, each once; `undefined`: its bytes could not be read. */
  readonly size: number | undefined
  readonly firstSeen: number
  readonly lastRead: number | undefined
  readonly isPinned: boolean
  readonly subject: Digest | undefined
}

/** One repository and some of its images; `next`: after which digest the next page begins. */
export interface RepositoryPage extends RepositoryLine {
  readonly images: readonly ImageLine[]
  readonly next: Digest | undefined
}

/** What an index has for one platform. */
export interface PlatformLine {
  /** `linux/amd64`; `undefined`: the index does not say. */
  readonly platform: string | undefined
  readonly digest: string
  readonly mediaType: string
  /** Of its manifest and all that it names; `undefined`: that is not known, since it is not here or too long to be read. */
  readonly size: number | undefined
  /** Whether its manifest is here; `undefined`: not looked for, since there are too many. */
  readonly isHere: boolean | undefined
  /** Whether it is no image, but says how another one was built. */
  readonly isAttestation: boolean
}

/** A layer, or a blob of something that is no image. */
export interface LayerLine {
  readonly digest: string
  readonly mediaType: string
  readonly size: number
  /** `undefined`: not looked for, since there are too many. */
  readonly isHere: boolean | undefined
  /** The name of the file that it holds, where that is said (`org.opencontainers.image.title`). */
  readonly title: string | undefined
}

/** A manifest that says something of another one, as far as it is known here. */
export interface ReferrerLine {
  readonly digest: string
  readonly mediaType: string
  readonly artifactType: string | undefined
  readonly size: number
  readonly annotations: Annotations
  readonly isSignature: boolean
  /** By which tag it refers (`sha256-<hex>.sig`); `undefined`: by its own word. */
  readonly tag: Tag | undefined
}

/** One manifest and what is known of it here. */
export interface ManifestPage {
  /** Canonical. */
  readonly name: string
  readonly kind: RepositoryKind
  readonly digest: Digest
  readonly mediaType: string
  readonly artifactType: string | undefined
  readonly subject: Digest | undefined
  readonly annotations: Annotations
  readonly tags: readonly Tag[]
  /** Of it and all that it names, as far as that is known. */
  readonly size: number
  readonly isPinned: boolean
  readonly firstSeen: number | undefined
  readonly lastRead: number | undefined
  /** Of an index; else empty. */
  readonly platforms: readonly PlatformLine[]
  /** Of an image whose configuration is here and can be read. */
  readonly config: ImageConfig | undefined
  /** Of what is no index. */
  readonly layers: readonly LayerLine[]
  /** How the image was built, the oldest step first. */
  readonly history: readonly ImageHistory[]
  readonly referrers: readonly ReferrerLine[]
  /** Whether there is more of any of these than is shown. */
  readonly isCut: boolean
}
