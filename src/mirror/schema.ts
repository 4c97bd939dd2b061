// The tables of a `MirrorLedger`, version by version.

import type { SchemaSteps } from '../storage/schema.ts'

/* The release before schemas had a version. `descriptors` are the sizes of blobs, `accesses` counts isolates by day. */
const FIRST = `
  CREATE TABLE IF NOT EXISTS tags (
    tag TEXT PRIMARY KEY, digest TEXT NOT NULL, verified_at INTEGER NOT NULL, tried_at INTEGER NOT NULL,
    is_guess INTEGER NOT NULL DEFAULT 0, failure TEXT, hinted_digest TEXT, hinted_at INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS manifests (
    digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, hinted_at INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS descriptors (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS referrers (
    subject TEXT NOT NULL, digest TEXT NOT NULL, descriptor TEXT NOT NULL, PRIMARY KEY (subject, digest)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS accesses (day INTEGER PRIMARY KEY, isolates INTEGER NOT NULL);
`

/*
 * `size` of a manifest is that of its own bytes; NULL: an older release has stored it, and what it names is still to be
 * read from its bytes. Until then `descriptors` know the sizes of its blobs. `deletions` are tags and digests whose
 * rows are gone, and whose hints and bytes are still to be deleted. `last` is when the newest pull of a day was.
 */
const INVENTORY = `
  ALTER TABLE manifests ADD COLUMN size INTEGER;
  ALTER TABLE manifests ADD COLUMN artifact_type TEXT;
  ALTER TABLE manifests ADD COLUMN subject TEXT;
  ALTER TABLE manifests ADD COLUMN first_seen INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX manifests_unread ON manifests (digest) WHERE size IS NULL;
  CREATE INDEX tags_digest ON tags (digest);
  CREATE TABLE children (
    manifest TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, kind TEXT NOT NULL, platform TEXT,
    PRIMARY KEY (manifest, digest)
  ) WITHOUT ROWID;
  CREATE INDEX children_digest ON children (digest);
  CREATE TABLE reads (digest TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE pulls (day INTEGER PRIMARY KEY, pulls INTEGER NOT NULL, last INTEGER NOT NULL);
  CREATE TABLE pins (reference TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE deletions (reference TEXT PRIMARY KEY, is_hinted INTEGER NOT NULL) WITHOUT ROWID;

  UPDATE manifests SET first_seen = coalesce(
    (SELECT min(day) * 86400000 FROM accesses), (SELECT min(verified_at) FROM tags), 0);
  INSERT INTO reads SELECT digest, day * 86400000
    FROM manifests JOIN (SELECT max(day) AS day FROM accesses) WHERE day IS NOT NULL;
  INSERT INTO pulls SELECT max(day), 0, max(day) * 86400000 FROM accesses HAVING max(day) IS NOT NULL;
  DROP TABLE accesses;
`

/** What stands in a ledger. */
export const LEDGER_SCHEMA: SchemaSteps = { table: 'tags', steps: [FIRST, INVENTORY] }
