// What clients are configured with to find this registry: the one source of these texts, for the page `/_/connect`, for the
// real clients of `test/clients`, and for `docs/clients.md`, which a test holds to them.

/** Where a client looks for an image: this registry, or what stands in for it. */
export interface Place {
  /** `https://mirror.example` */
  readonly origin: string
  /** `mirror.example`, with the port where there is one. */
  readonly host: string
  /** The secret of a capability, which goes into the path. */
  readonly capability?: string | undefined
}

/** How `hosts.toml` leads to an upstream: by `ns` alone, by a path that is used as it is, or by one that `/v2` is added to. */
export type HostsForm = 'ns' | 'prefix' | 'path base'

/** A file, by where it belongs. */
export interface ConfigFile {
  readonly path: string
  readonly text: string
}

/** Whether a registry speaks plain http. */
export function isPlain({ origin }: Pick<Place, 'origin'>): boolean {
  return origin.startsWith('http:')
}

/** The registry as it stands in the name of an image: `mirror.example/docker.io`, or with the secret before the host. */
export function locationOf({ host, capability }: Omit<Place, 'origin'>, upstream?: string): string {
  return [
    host,
    ...(capability === undefined ? [] : ['t', capability]),
    ...(upstream === undefined ? [] : [upstream]),
  ].join('/')
}

/** The URL that containerd is given; what follows is the form's. */
export function hostsURL(place: Place, form: HostsForm, upstream: string): string {
  const { origin, capability } = place
  const secret = capability === undefined ? '' : `/t/${capability}`
  if (form === 'ns') return `${origin}${secret}`
  return form === 'prefix' ? `${origin}/v2${secret}/${upstream}` : `${origin}${secret}/${upstream}`
}

/** containerd's `hosts.toml`; `server` is asked when the mirror has failed. */
export function hostsFile({
  server,
  url,
  form,
  authorization,
}: {
  readonly server?: string | undefined
  readonly url: string
  readonly form: HostsForm
  readonly authorization?: string | undefined
}): string {
  return [
    ...(server === undefined ? [] : [`server = "${server}"`]),
    `[host."${url}"]`,
    '  capabilities = ["pull", "resolve"]',
    ...(form === 'prefix' ? ['  override_path = true'] : []),
    ...(authorization === undefined
      ? []
      : [`  [host."${url}".header]`, `    authorization = "${authorization}"`]),
    '',
  ].join('\n')
}

/** Where containerd reads that file for a registry, or for all of them. */
export function hostsPath(upstream: string | undefined): string {
  return `/etc/containerd/certs.d/${upstream ?? '_default'}/hosts.toml`
}

/** The folder of those files, in containerd's own configuration. */
export const CONTAINERD_CONFIG = `version = 3                       # containerd 1.x: version = 2, [plugins."io.containerd.grpc.v1.cri".registry]
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d"
`

/** A block of `registries.conf`: podman, CRI-O, buildah, skopeo. `location` is asked when the mirror has failed. */
export function registriesBlock({
  prefix,
  location,
  mirror,
  isInsecure = false,
  isLocationInsecure = false,
}: {
  readonly prefix: string
  readonly location: string
  readonly mirror: string
  readonly isInsecure?: boolean
  readonly isLocationInsecure?: boolean
}): string {
  return [
    '[[registry]]',
    `prefix = "${prefix}"`,
    `location = "${location}"`,
    ...(isLocationInsecure ? ['insecure = true'] : []),
    '  [[registry.mirror]]',
    `  location = "${mirror}"`,
    ...(isInsecure ? ['  insecure = true'] : []),
    '',
  ].join('\n')
}

/** `daemon.json` of Docker. */
export function daemonFile(mirror: string, insecure?: string): string {
  const registries = insecure === undefined ? '' : `, "insecure-registries": ["${insecure}"]`
  return `{ "registry-mirrors": ["${mirror}"]${registries} }\n`
}

/** The URL of a mirror of Docker Hub: the root, or with a secret a path, which only newer daemons take. */
export function daemonMirror(place: Place): string {
  return place.capability === undefined ? place.origin : hostsURL(place, 'path base', 'docker.io')
}

/** `registries.yaml` of k3s and RKE2: for one upstream, or for all. */
export function k3sFile(place: Place, upstream: string | undefined): string {
  const url = upstream === undefined ? k3sRoot(place) : hostsURL(place, 'prefix', upstream)
  return `mirrors:\n  "${upstream ?? '*'}":\n    endpoint: ["${url}"]\n`
}

/** It adds no `/v2` to a path. */
function k3sRoot(place: Place): string {
  const url = hostsURL(place, 'ns', '')
  return place.capability === undefined ? url : `${url}/v2`
}

/** `buildkitd.toml`. */
export function buildkitFile(place: Place, upstream: string): string {
  return [
    `[registry."${upstream}"]`,
    `  mirrors = ["${locationOf(place, upstream)}"]`,
    ...(isPlain(place) ? [`[registry."${place.host}"]`, '  http = true'] : []),
    '',
  ].join('\n')
}

/** The name by which every client finds an image here. */
export function imageName(place: Omit<Place, 'origin'>, canonical: string, reference = ''): string {
  const separator = reference === '' ? '' : reference.includes(':') ? '@' : ':'
  return `${locationOf(place)}/${canonical}${separator}${reference}`
}

/** A command of a client, by its name. */
export interface Command {
  readonly client: string
  readonly text: string
}

/** How each client pulls an image by its name. */
export function pullCommands(
  place: Pick<Place, 'origin' | 'host'>,
  canonical: string,
  reference: string,
): readonly Command[] {
  const name = imageName(place, canonical, reference)
  const plain = (flag: string): string => (isPlain(place) ? ` ${flag}` : '')
  return [
    { client: 'docker', text: `docker pull ${name}` },
    { client: 'podman', text: `podman pull${plain('--tls-verify=false')} ${name}` },
    { client: 'nerdctl', text: `nerdctl pull${plain('--insecure-registry')} ${name}` },
    { client: 'ctr', text: `ctr images pull${plain('--plain-http')} ${name}` },
    {
      client: 'skopeo',
      text: `skopeo copy${plain('--src-tls-verify=false')} docker://${name} dir:image`,
    },
    { client: 'crane', text: `crane pull${plain('--insecure')} ${name} image.tar` },
  ]
}

/** How each client logs in; `ci` is an account, whose secret is in a file. */
export function loginCommand(
  client: string,
  place: Pick<Place, 'origin' | 'host'>,
): string | undefined {
  const { host } = place
  const login = '--username ci --password-stdin'
  const plain = (flag: string): string => (isPlain(place) ? ` ${flag}` : '')
  const commands: Readonly<Record<string, string>> = {
    docker: `docker login ${login} ${host} < secret`,
    podman: `podman login ${login}${plain('--tls-verify=false')} ${host} < secret`,
    skopeo: `skopeo login ${login}${plain('--tls-verify=false')} ${host} < secret`,
    crane: `crane auth login ${host} ${login} < secret`,
    oras: `oras login ${login}${plain('--plain-http')} ${host} < secret`,
    regctl: `regctl registry login --user ci --pass-stdin ${host} < secret`,
    helm: `helm registry login ${login}${plain('--plain-http')} ${host} < secret`,
  }
  return commands[client]
}
