// Platforms as people write them: `linux/amd64`, `linux/arm/v7` (containerd's form of image-spec's members).

import { isJSONObject } from './json-object.ts'

/* What registered names of GOOS, GOARCH and variants are made of; they come from strangers and are shown. */
const NAME = /^[A-Za-z0-9_.+-]{1,64}$/

/** The text of a `platform`, or of the same members of an image's configuration; `undefined` where it names none. */
export function formatPlatform(value: unknown): string | undefined {
  if (!isJSONObject(value)) return undefined
  const { os, architecture, variant } = value
  if (!isName(os) || !isName(architecture)) return undefined
  return [os, architecture, ...(isName(variant) ? [variant] : [])].join('/')
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value)
}
