// The id of an export on a command line.

import { isExportID } from '../src/jobs/export-file.ts'
import { ArgumentError } from './failure.ts'

/** @throws {ArgumentError} where no export can be called so. */
export function requireExportID(what: string, text: string): string {
  if (isExportID(text)) return text
  throw new ArgumentError(
    `${what}: expected the id of an export, as entrepot backup list shows it, found ${JSON.stringify(text)}`,
  )
}
