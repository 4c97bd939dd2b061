// Which rows of a mirrored repository go when something is forgotten, and what is still to be deleted outside of them.

import type { Digest } from '../oci/digest.ts'
import { parseReference } from '../oci/reference.ts'
import type { Tag } from '../oci/reference.ts'
import { TREE } from './inventory-records.ts'
import type { InventoryRecords } from './inventory-records.ts'
import type { ForgetOrder } from './inventory.ts'
import type { Deletion } from './manifest-keeper.ts'
import { text } from './rows.ts'
import type { Row, Rows } from './rows.ts'

/** Rows that went. */
export interface ForgottenRows {
  readonly forgotten: readonly Digest[]
  /** Blobs of them that no manifest names any more. */
  readonly blobs: readonly Digest[]
}

/** Since when nothing may have been read; `undefined`: whatever was read goes. */
type Since = number | undefined

/** Forgets rows. */
export class ForgetRecords {
  readonly #rows: Rows
  readonly #inventory: InventoryRecords

  constructor(rows: Rows, inventory: InventoryRecords) {
    this.#rows = rows
    this.#inventory = inventory
  }

  /** Forgets what an order names, as one change. */
  forget(order: ForgetOrder): ForgottenRows {
    if (this.#rows.isEmpty) return { forgotten: [], blobs: [] }
    return this.#rows.atomically(() => {
      const since = order.unlessReadSince
      const roots = this.#choose(order, since)
      for (const tag of roots.tags) this.#removeTag(tag)
      return this.#remove(this.#fall(roots.digests, since), since)
    })
  }

  /** Forgets so many tags and manifests, whatever they are; then what was read besides. All empty: there is nothing left. */
  forgetSome(limit: number): ForgottenRows & { readonly tags: readonly Tag[] } {
    if (this.#rows.isEmpty) return { tags: [], forgotten: [], blobs: [] }
    return this.#rows.atomically(() => {
      const tags = this.#rows.read('SELECT tag FROM tags LIMIT ?', limit).map(tagOf)
      for (const tag of tags) this.#removeTag(tag)
      const digests = this.#rows
        .read('SELECT digest FROM manifests LIMIT ?', limit - tags.length)
        .map(digestOf)
      const removed = this.#remove(new Set(digests), undefined)
      if (tags.length + digests.length > 0) return { tags, ...removed }
      const blobs = this.#rows.read('SELECT digest FROM reads LIMIT ?', limit).map(digestOf)
      for (const blob of blobs) this.#rows.change('DELETE FROM reads WHERE digest = ?', blob)
      return { tags, forgotten: [], blobs }
    })
  }

  /** Drops reads from before this time (milliseconds) of what no manifest names. */
  dropReads(before: number): void {
    this.#rows.change(
      `DELETE FROM reads WHERE at < ?
         AND NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = reads.digest)
         AND NOT EXISTS (SELECT 1 FROM children WHERE children.digest = reads.digest)`,
      before,
    )
  }

  /** What is still to be deleted. */
  deletions(limit: number): readonly Deletion[] {
    return this.#rows.read('SELECT * FROM deletions LIMIT ?', limit).flatMap((row) => {
      const reference = parseReference(text(row['reference']))
      return reference === undefined
        ? []
        : [{ reference, isHinted: Number(row['is_hinted']) === 1 }]
    })
  }

  /** The hint and the bytes are deleted, or stay. */
  closeDeletion(reference: Tag | Digest): void {
    this.#rows.change('DELETE FROM deletions WHERE reference = ?', reference)
  }

  /** The tags that go, and the manifests that go if nothing else holds them. */
  #choose(
    { tags, digests }: ForgetOrder,
    since: Since,
  ): { readonly tags: ReadonlySet<Tag>; readonly digests: ReadonlySet<Digest> } {
    const chosen = { tags: new Set<Tag>(), digests: new Set<Digest>() }
    for (const tag of tags) {
      const row = this.#rows.read('SELECT digest FROM tags WHERE tag = ?', tag)[0]
      if (row === undefined || this.#isSpared(digestOf(row), since)) continue
      chosen.tags.add(tag)
      chosen.digests.add(digestOf(row))
    }
    for (const digest of digests) {
      if (this.#isSpared(digest, since)) continue
      chosen.digests.add(digest)
      for (const tag of this.#tags(digest)) chosen.tags.add(tag)
    }
    return chosen
  }

  /** Whether an image is pinned, or any of its manifests was read or first seen since. */
  #isSpared(digest: Digest, since: Since): boolean {
    if (since === undefined) return false
    const pins = [digest, ...this.#tags(digest)].some((each) => this.#isPinned(each))
    if (pins) return true
    const rows = this.#rows.read(
      `${TREE} SELECT 1 FROM tree LEFT JOIN manifests USING (digest) LEFT JOIN reads USING (digest)
       WHERE reads.at >= ?2 OR manifests.first_seen >= ?2 LIMIT 1`,
      digest,
      since,
    )
    return rows.length > 0
  }

  /** These, and what is below them, as far as no tag and no manifest that stays holds it. */
  #fall(roots: ReadonlySet<Digest>, since: Since): ReadonlySet<Digest> {
    const gone = new Set<Digest>()
    const candidates = [...roots]
    // The list grows while it is walked: what one held is looked at once more when that one goes.
    for (const digest of candidates) {
      if (gone.has(digest) || !this.#isStored(digest) || this.#isHeld(digest, gone, since)) continue
      gone.add(digest)
      const children = this.#rows.read('SELECT digest FROM children WHERE manifest = ?', digest)
      candidates.push(...children.map(digestOf))
    }
    return gone
  }

  #isHeld(digest: Digest, gone: ReadonlySet<Digest>, since: Since): boolean {
    if (this.#tags(digest).length > 0) return true
    if (since !== undefined && this.#isPinned(digest)) return true
    return this.#rows
      .read('SELECT manifest AS digest FROM children WHERE digest = ?', digest)
      .some((row) => !gone.has(digestOf(row)))
  }

  #remove(digests: ReadonlySet<Digest>, since: Since): ForgottenRows {
    const named = new Set<Digest>()
    for (const digest of digests) {
      const blobs = `SELECT digest FROM children WHERE manifest = ? AND kind = 'blob'`
      for (const row of this.#rows.read(blobs, digest)) named.add(digestOf(row))
      this.#removeManifest(digest)
    }
    const still = new Set(this.#inventory.named([...named]))
    const blobs = [...named].filter((blob) => !still.has(blob))
    for (const blob of blobs) {
      this.#rows.change(
        'DELETE FROM reads WHERE digest = ? AND at < ?',
        blob,
        since ?? Number.MAX_SAFE_INTEGER,
      )
    }
    return { forgotten: [...digests], blobs }
  }

  #removeManifest(digest: Digest): void {
    const [row] = this.#rows.read('SELECT * FROM manifests WHERE digest = ?', digest)
    const subject = row?.['subject'] ?? null
    this.#plan(digest, Number(row?.['hinted_at'] ?? 0) > 0)
    this.#rows.change('DELETE FROM referrers WHERE subject = ? AND digest = ?', subject, digest)
    this.#rows.change('DELETE FROM children WHERE manifest = ?', digest)
    this.#rows.change('DELETE FROM reads WHERE digest = ?', digest)
    this.#rows.change('DELETE FROM manifests WHERE digest = ?', digest)
  }

  #removeTag(tag: Tag): void {
    const [row] = this.#rows.read('SELECT hinted_digest FROM tags WHERE tag = ?', tag)
    if (typeof row?.['hinted_digest'] === 'string') this.#plan(tag, true)
    this.#rows.change('DELETE FROM tags WHERE tag = ?', tag)
  }

  #plan(reference: Tag | Digest, isHinted: boolean): void {
    this.#rows.write(
      `INSERT INTO deletions (reference, is_hinted) VALUES (?1, ?2)
       ON CONFLICT (reference) DO UPDATE SET is_hinted = max(is_hinted, ?2)`,
      reference,
      isHinted ? 1 : 0,
    )
  }

  #isStored(digest: Digest): boolean {
    return this.#rows.read('SELECT 1 FROM manifests WHERE digest = ?', digest).length > 0
  }

  #isPinned(reference: Tag | Digest): boolean {
    return this.#rows.read('SELECT 1 FROM pins WHERE reference = ?', reference).length > 0
  }

  #tags(digest: Digest): readonly Tag[] {
    return this.#rows.read('SELECT tag FROM tags WHERE digest = ?', digest).map(tagOf)
  }
}

/** Only digests are written. */
function digestOf(row: Row): Digest {
  return row['digest'] as Digest
}

/** Only tags are written. */
function tagOf(row: Row): Tag {
  return row['tag'] as Tag
}
