// How pages write figures: short, with a unit, and the same everywhere. Times are UTC, since the server knows no other.

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** What stands where there is nothing to say. */
export const NOTHING = '–'

/** `1.4 GiB`: three digits at most. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (Math.abs(value) >= 1000 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : shorten(value)} ${UNITS[unit]}`
}

/** `12,480`: every digit, in groups of three. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replaceAll(/\B(?=(\d{3})+$)/g, ',')
}

/** One of them, or how many: `1 tag`, `3 tags`. */
export function formatMany(count: number, one: string): string {
  return `${formatCount(count)} ${one}${count === 1 ? '' : 's'}`
}

/** `97.3 %`; what is not quite everything is never rounded to all of it. */
export function formatShare(share: number): string {
  if (share > 0.999 && share < 1) return '99.9 %'
  return `${Number((share * 100).toFixed(1))} %`
}

/** `34`, `3.4`, `340`: three digits at most. */
export function shorten(value: number): string {
  const size = Math.abs(value)
  return size >= 100 ? formatCount(value) : String(Number(value.toFixed(size >= 10 ? 1 : 2)))
}

/** `< 1 s`, `4 s`, `12 min`, `3 h`, `5 d`. */
export function formatDuration(milliseconds: number): string {
  const size = Math.abs(milliseconds)
  if (size < SECOND) return '< 1 s'
  if (size < MINUTE) return `${Math.round(size / SECOND)} s`
  if (size < 2 * HOUR) return `${Math.round(size / MINUTE)} min`
  if (size < 2 * DAY) return `${Math.round(size / HOUR)} h`
  return `${Math.round(size / DAY)} d`
}

/** `23 Nov 2026, 02:48 UTC`. */
export function formatTime(at: number): string {
  return `${formatDay(at)} ${new Date(at).getUTCFullYear()}, ${formatHour(at)} UTC`
}

/** `23 Nov`. */
export function formatDay(at: number): string {
  const date = new Date(at)
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`
}

/** `02:48`. */
export function formatHour(at: number): string {
  return new Date(at).toISOString().slice(11, 16)
}

/** `sha256:0123456789ab`: enough to tell digests apart. */
export function shortDigest(digest: string): string {
  const [algorithm = '', encoded = ''] = digest.split(':')
  return `${algorithm}:${encoded.slice(0, 12)}`
}
