// Figures as people read them: bytes, spans of time, times.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Three digits and a unit, e.g. `24.3 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (Math.round(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : formatRate(value)} ${UNITS[unit]}`
}

/** A number of things in a time: with a digit behind the point while it is small. */
export function formatRate(value: number): string {
  return value < 99.95 ? value.toFixed(1) : value.toFixed(0)
}

/** The two largest units, e.g. `2 h 5 min`. */
export function formatSpan(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / SECOND)) * SECOND
  if (seconds < MINUTE) return `${seconds / SECOND} s`
  if (seconds < HOUR) return pair([seconds, MINUTE, 'min'], [SECOND, 's'])
  if (seconds < DAY) return pair([seconds, HOUR, 'h'], [MINUTE, 'min'])
  return pair([seconds, DAY, 'd'], [HOUR, 'h'])
}

/** A time (RFC 3339) to the second, e.g. `2026-11-23 02:48:53Z`; what is none is left as it is. */
export function formatTime(time: string | undefined): string {
  if (time === undefined) return '-'
  return time.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/, '$1 $2Z')
}

function pair(
  [span, unit, name]: readonly [number, number, string],
  [part, partName]: readonly [number, string],
): string {
  const rest = Math.floor((span % unit) / part)
  const whole = `${Math.floor(span / unit)} ${name}`
  return rest === 0 ? whole : `${whole} ${rest} ${partName}`
}
