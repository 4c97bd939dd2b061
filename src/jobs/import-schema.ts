// The tables of an import, which its records read and write. All of them are empty when a job begins.

/** What makes the tables; it may be run again. */
export const SCHEMA = `
  CREATE TABLE IF NOT EXISTS import_repositories (
    source TEXT PRIMARY KEY, target TEXT NOT NULL UNIQUE, last TEXT, is_listed INTEGER NOT NULL DEFAULT 0
  );
  CREATE TABLE IF NOT EXISTS import_images (
    number INTEGER PRIMARY KEY, host TEXT NOT NULL, source TEXT NOT NULL, reference TEXT NOT NULL,
    target TEXT NOT NULL, tag TEXT NOT NULL, outcome TEXT, digest TEXT, bytes INTEGER NOT NULL DEFAULT 0,
    puts INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
    UNIQUE (target, tag, reference)
  );
  CREATE INDEX IF NOT EXISTS import_images_by_outcome ON import_images (outcome);
  CREATE TABLE IF NOT EXISTS import_manifests (
    image INTEGER NOT NULL, digest TEXT NOT NULL, depth INTEGER NOT NULL, is_root INTEGER NOT NULL,
    stage TEXT NOT NULL, PRIMARY KEY (image, digest)
  );
  CREATE TABLE IF NOT EXISTS import_tags (
    image INTEGER NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (image, tag)
  );
  CREATE TABLE IF NOT EXISTS import_uploads (
    target TEXT NOT NULL, digest TEXT NOT NULL, session TEXT NOT NULL, PRIMARY KEY (target, digest)
  );
  CREATE TABLE IF NOT EXISTS import_blobs (
    host TEXT NOT NULL, digest TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
    PRIMARY KEY (host, digest, source)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS import_names (name TEXT PRIMARY KEY, page INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS import_holds (
    host TEXT PRIMARY KEY, until INTEGER NOT NULL, why TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS import_faults (subject TEXT PRIMARY KEY);
`
