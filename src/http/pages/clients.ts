// The clients of the page `/_/connect`, and for each of them the steps that lead it to this registry.

import {
  CONTAINERD_CONFIG,
  buildkitFile,
  daemonFile,
  daemonMirror,
  hostsFile,
  hostsPath,
  hostsURL,
  imageName,
  isPlain,
  k3sFile,
  locationOf,
  loginCommand,
  registriesBlock,
} from './snippets.ts'
import type { Place } from './snippets.ts'

/** What somebody has chosen. */
export interface Wish {
  readonly place: Place
  /** The host of an upstream; `undefined`: all of them. */
  readonly upstream: string | undefined
  /** The hosts of the table. */
  readonly upstreams: readonly string[]
}

/** One thing to do: a file to write, or commands to run. */
export interface Step {
  readonly title: string
  readonly path?: string
  readonly text: string
}

/** A client. */
export interface Client {
  readonly id: string
  readonly name: string
  /** In a sentence. */
  readonly about: string
  /** Whether `test/clients/` runs it; else its texts follow what its sources do. */
  readonly isRun: boolean
  readonly steps: (wish: Wish) => readonly Step[]
}

/** Docker's mirrors are for this one alone. */
const DOCKER_HUB = 'docker.io'

/** Every client, in the order of the page. */
export const CLIENTS: readonly Client[] = [
  {
    id: 'containerd',
    name: 'containerd, Kubernetes, nerdctl',
    about:
      'Images keep their names. The registry itself stays the last resort, so a node goes on pulling while this one is away.',
    isRun: true,
    steps: (wish) => [
      {
        title: 'Once: where containerd looks for mirrors',
        path: '/etc/containerd/config.toml',
        text: CONTAINERD_CONFIG,
      },
      hostsStep(wish),
      {
        title: 'Try it',
        text: `ctr images pull --hosts-dir /etc/containerd/certs.d ${sampleOf(wish)}\n`,
      },
    ],
  },
  {
    id: 'docker',
    name: 'Docker daemon',
    about:
      'Docker mirrors Docker Hub alone. Images of other registries are pulled by their name here, or with the containerd image store by a hosts.toml as for containerd, in /etc/docker/certs.d.',
    isRun: true,
    steps: dockerSteps,
  },
  {
    id: 'podman',
    name: 'podman, CRI-O, buildah',
    about: 'Images keep their names; one block for each registry.',
    isRun: true,
    steps: (wish) => [
      {
        title: 'The mirrors',
        path: '/etc/containers/registries.conf.d/50-mirror.conf',
        text: hostsOf(wish)
          .map((upstream) =>
            registriesBlock({
              prefix: upstream,
              location: upstream,
              mirror: locationOf(wish.place, upstream),
              isInsecure: isPlain(wish.place),
            }),
          )
          .join('\n'),
      },
      { title: 'Try it', text: `podman pull ${sampleOf(wish)}\n` },
    ],
  },
  {
    id: 'k3s',
    name: 'k3s, RKE2',
    about:
      'One file on every node, read when the service starts. RKE2 has it in /etc/rancher/rke2.',
    isRun: false,
    steps: ({ place, upstream }) => [
      {
        title: 'The mirror',
        path: '/etc/rancher/k3s/registries.yaml',
        text: k3sFile(place, upstream),
      },
    ],
  },
  {
    id: 'buildkit',
    name: 'BuildKit, docker buildx',
    about: 'For the images that a build begins with.',
    isRun: false,
    steps: (wish) => [
      {
        title: 'The mirrors',
        path: '/etc/buildkit/buildkitd.toml',
        text: hostsOf(wish)
          .map((upstream) => buildkitFile(wish.place, upstream))
          .join(''),
      },
      {
        title: 'A builder that has them',
        text: 'docker buildx create --use --buildkitd-config /etc/buildkit/buildkitd.toml\n',
      },
    ],
  },
  ...byName(),
]

/** The client of that id, else the first. */
export function clientOf(id: string | null): Client {
  // The list is not empty.
  return CLIENTS.find((each) => each.id === id) ?? (CLIENTS[0] as Client)
}

/** A command that logs a client in, where it has one. */
export function loginOf(client: Client, place: Place): string | undefined {
  return loginCommand(client.id === 'containerd' ? 'nerdctl' : client.id, place)
}

/** Clients that have no mirrors: the name says where an image is. */
function byName(): readonly Client[] {
  const commands: readonly (readonly [string, (image: string, isOpen: boolean) => string])[] = [
    [
      'skopeo',
      (image, open) =>
        `skopeo copy${open ? ' --src-tls-verify=false' : ''} docker://${image} dir:image`,
    ],
    ['crane', (image, open) => `crane pull${open ? ' --insecure' : ''} ${image} image.tar`],
    ['regctl', (image) => `regctl image copy ${image} ocidir://image`],
    ['oras', (image, open) => `oras pull${open ? ' --plain-http' : ''} ${image}`],
    [
      'helm',
      (image, open) =>
        `helm pull${open ? ' --plain-http' : ''} oci://${image.replace(/:[^:/]*$/, '')} --version 1.2.3`,
    ],
  ]
  return commands.map(([id, write]) => ({
    id,
    name: id,
    about: 'It has no mirrors: the registry of an image is part of the name that it is asked for.',
    isRun: true,
    steps: ({ place, upstream, upstreams }) => [
      ...(id === 'regctl' && isPlain(place)
        ? [{ title: 'Once', text: `regctl registry set ${place.host} --tls disabled\n` }]
        : []),
      {
        title: 'By name',
        text: (upstream === undefined ? upstreams : [upstream])
          .map((host) => `${write(imageName(place, sampleIn(host)), isPlain(place))}\n`)
          .join(''),
      },
    ],
  }))
}

function hostsStep({ place, upstream }: Wish): Step {
  const form = upstream === undefined ? 'ns' : 'prefix'
  return {
    title: upstream === undefined ? 'The mirror of every registry' : `The mirror of ${upstream}`,
    path: hostsPath(upstream),
    text: hostsFile({
      ...(upstream !== undefined && { server: `https://${upstream}` }),
      url: hostsURL(place, form, upstream ?? ''),
      form,
    }),
  }
}

function dockerSteps(wish: Wish): readonly Step[] {
  const { place, upstream } = wish
  if (upstream !== undefined && upstream !== DOCKER_HUB) {
    return [{ title: 'By name', text: `docker pull ${imageName(place, sampleIn(upstream))}\n` }]
  }
  return [
    {
      title: 'The mirror of Docker Hub',
      path: '/etc/docker/daemon.json',
      text: daemonFile(daemonMirror(place), isPlain(place) ? place.host : undefined),
    },
    { title: 'Let the daemon read it', text: 'systemctl reload docker\n' },
    { title: 'Try it', text: 'docker pull alpine\n' },
  ]
}

function hostsOf({ upstream, upstreams }: Wish): readonly string[] {
  return upstream === undefined ? upstreams : [upstream]
}

/** An image to try it with. */
function sampleOf({ upstream, upstreams }: Wish): string {
  return sampleIn(
    upstream ?? (upstreams.includes(DOCKER_HUB) ? DOCKER_HUB : (upstreams[0] ?? DOCKER_HUB)),
  )
}

function sampleIn(host: string): string {
  return host === DOCKER_HUB ? `${host}/library/alpine:latest` : `${host}/org/app:1.0`
}
