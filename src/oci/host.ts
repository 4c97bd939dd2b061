// What a host name or an address literal says of where it leads: to this machine, into a private
// network, or out into the internet. Only what is written counts; names are not resolved here.

/** Whether the host is this machine itself: `localhost`, 127.0.0.0/8 or `[::1]`. */
export function isLoopbackHost(hostname: string): boolean {
  const host = normaliseHost(hostname)
  if (host === undefined) return false
  const octets = parseIPv4(host)
  if (octets !== undefined) return octets[0] === 127
  return host === '[::1]' || host === 'localhost' || host.endsWith('.localhost')
}

/**
 * Whether the host lies in a private network, or is written so that it may (an IPv4 address inside
 * an IPv6 one, a name of one label). Loopback is not private, see `isLoopbackHost`; what no URL can
 * hold is.
 */
export function isPrivateHost(hostname: string): boolean {
  const host = normaliseHost(hostname)
  if (host === undefined) return true
  if (isLoopbackHost(host)) return false
  const octets = parseIPv4(host)
  if (octets !== undefined) return isPrivateIPv4(octets)
  if (host.startsWith('[')) return !isGlobalIPv6(host)
  return !host.includes('.') || PRIVATE_SUFFIXES.some((suffix) => host.endsWith(suffix))
}

/**
 * The client that an address stands for: the address itself, of an IPv6 address its /64, which one
 * subscriber has whole.
 */
export function clientOf(address: string): string {
  const host = normaliseHost(address)
  if (host?.startsWith('[') !== true) return host ?? address
  const [head = '', tail] = host.slice(1, -1).split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const missing = tail === undefined ? 0 : 8 - before.length - after.length
  const groups = [...before, ...Array<string>(missing).fill('0'), ...after]
  return `${groups.slice(0, 4).join(':')}::/64`
}

// `.internal` covers the metadata service of Google's cloud.
const PRIVATE_SUFFIXES = ['.internal', '.local', '.localdomain', '.home.arpa'] as const

/**
 * [network, prefix length]: what RFC 6890 and its updates call not globally reachable, without
 * documentation ranges.
 */
const PRIVATE_IPV4 = [
  [[0, 0, 0, 0], 8],
  [[10, 0, 0, 0], 8],
  [[100, 64, 0, 0], 10],
  [[169, 254, 0, 0], 16],
  [[172, 16, 0, 0], 12],
  [[192, 0, 0, 0], 24],
  [[192, 168, 0, 0], 16],
  [[198, 18, 0, 0], 15],
  [[224, 0, 0, 0], 3],
] as const

/**
 * The form that `URL.hostname` has: lower case, IPv6 bracketed and shortest, IPv4 dotted decimal
 * also where it was written in hex, octal or as one number; the dot of a fully qualified name is
 * dropped.
 */
function normaliseHost(hostname: string): string | undefined {
  const isBareIPv6 = !hostname.startsWith('[') && hostname.split(':').length > 2
  const url = URL.parse(`http://${isBareIPv6 ? `[${hostname}]` : hostname}/`)
  if (url === null || url.hostname === '') return undefined
  return url.hostname.replace(/\.$/, '')
}

function parseIPv4(host: string): readonly number[] | undefined {
  return /^\d+\.\d+\.\d+\.\d+$/.test(host) ? host.split('.').map(Number) : undefined
}

function isPrivateIPv4(octets: readonly number[]): boolean {
  const address = asNumber(octets)
  return PRIVATE_IPV4.some(([network, length]) => {
    const shift = 32 - length
    return address >>> shift === asNumber(network) >>> shift
  })
}

function asNumber(octets: readonly number[]): number {
  return octets.reduce((sum, octet) => sum * 256 + octet, 0)
}

/**
 * RFC 4291 §2.4: global unicast is 2000::/3. Everything else (link-local, unique local, multicast,
 * IPv4-mapped, NAT64) is not, nor are 6to4 (2002::/16) and Teredo (2001::/32), which wrap an IPv4
 * address.
 */
function isGlobalIPv6(host: string): boolean {
  const [first = '', second = ''] = host.slice(1, -1).split(':')
  const group = Number.parseInt(first === '' ? '0' : first, 16)
  const isTeredo = group === 0x2001 && Number.parseInt(second === '' ? '0' : second, 16) === 0
  return group >= 0x2000 && group <= 0x3fff && group !== 0x2002 && !isTeredo
}
