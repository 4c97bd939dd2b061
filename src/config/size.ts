// `STORAGE_TARGET`: how much of what is mirrored is kept. Sizes in bytes, as settings and orders write them.

import { isEmpty, readMember, readObject, refuse } from './setting.ts'
import type { Setting } from './setting.ts'

/** What is removed when there is more than `target`, until there is no more than `low` (bytes). */
export interface StorageTarget {
  readonly target: number
  readonly low: number
}

/** How a size is written. */
export const SIZE_FORM = 'a size ("500GiB", "1.5TiB", "200GB" or a number of bytes)'
/** How a low-water mark is written. */
export const LOW_FORM = 'a size that is not above the target, or a share of it ("80%")'

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}
const SIZE = /^(\d{1,16}(?:\.\d{1,6})?) ?([KMGT]i?B|B|)$/
const SHARE = /^(\d{1,2}|100)%$/
/** Of the target, where no low-water mark is named. */
const LOW_SHARE = 0.9

/** A size in bytes; `undefined`: it is written in no way that is understood. */
export function parseSize(value: unknown): number | undefined {
  if (typeof value === 'number')
    return Number.isSafeInteger(value) && value >= 0 ? value : undefined
  const [, count, unit = ''] = (typeof value === 'string' ? SIZE.exec(value) : null) ?? []
  const factor = UNITS[unit]
  if (count === undefined || factor === undefined) return undefined
  const bytes = Math.round(Number(count) * factor)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** A size as people read it: `57.6 MiB`. */
export function formatSize(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let [value, unit] = [bytes, 0]
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024
  return `${Number(value.toFixed(1))} ${units[unit]}`
}

/** The low-water mark of a target; absent: 90 % of it. `undefined`: it is written in no way that is understood. */
export function parseLow(value: unknown, target: number): number | undefined {
  if (value === undefined) return Math.floor(target * LOW_SHARE)
  const [, share] = (typeof value === 'string' ? SHARE.exec(value) : null) ?? []
  const low = share === undefined ? parseSize(value) : Math.floor((target * Number(share)) / 100)
  return low === undefined || low > target ? undefined : low
}

/** Reads `STORAGE_TARGET`; `undefined`: nothing is ever removed for room. */
export function readStorageTarget(setting: Setting): StorageTarget | undefined {
  if (isEmpty(setting)) return undefined
  if (typeof setting.value !== 'object') {
    const target = readTarget(setting)
    return { target, low: Math.floor(target * LOW_SHARE) }
  }
  const members = readObject(setting, `${SIZE_FORM}, or an object { target, low }`, [
    'target',
    'low',
  ])
  const target = readTarget(readMember(members, 'target', setting))
  const lowSetting = readMember(members, 'low', setting)
  const low = parseLow(lowSetting.value, target) ?? refuse(lowSetting, LOW_FORM)
  return { target, low }
}

/** Nothing at all is no target: who wants no cache needs no mirror. */
function readTarget(setting: Setting): number {
  const size = parseSize(setting.value)
  return size === undefined || size === 0 ? refuse(setting, `${SIZE_FORM} above 0`) : size
}
