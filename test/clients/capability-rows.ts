// The table of capabilities: every client that pulls from a mirror, by a path that holds a secret, without a login and
// beside a pull secret that is for somebody else; and the end of a capability.

import { basicOf, type Login } from './account.ts'
import { type Client, DOCKER_HUB, expectEqual } from './client.ts'
import { type Containerd, containerd } from './containerd.ts'
import { expectStreamed } from './deliveries.ts'
import { buildImage, type Image } from './image.ts'
import { type LoginStage, PRIVATE, PRIVATE_HOST, TEAM } from './login-stage.ts'
import { newerDocker } from './newer-docker.ts'
import { podman } from './podman.ts'
import { pushImage } from './push.ts'
import { refusalOf } from './refusal.ts'
import type { Endpoint } from './registry.ts'
import { skopeo } from './skopeo.ts'
import type { Suite } from './suite.ts'

/** The account of the rows. */
const NAME = 'cluster'

/** A client as it is made with somebody else's pull secret, or without any. */
interface Case {
  readonly name: string
  readonly make: (foreign: Login | undefined) => Client
}

/** All of them. */
export async function capabilityRows(
  suite: Suite,
  group: string,
  stage: LoginStage,
  daemon: Containerd,
): Promise<void> {
  const { accounts, foreign, registry } = stage
  const { host, url } = stage.recorder
  const recorder = { name: NAME, host, url }
  const through = ({ secret }: Login): Endpoint => ({ ...recorder, capability: secret })
  const first = await accounts.add('capability', NAME, [
    {
      repositories: [`${PRIVATE}/**`, `${PRIVATE_HOST}/**`, `${DOCKER_HUB}/**`],
      actions: ['pull'],
    },
  ])
  const all = await cases(stage, daemon)
  for (const { name, make } of all) {
    await suite.row(group, `${name}: pulls what is private, and is not redirected`, () => {
      const client = make(undefined)
      const { repository } = client.image
      return expectStreamed(registry, repository, () => client.pull(through(first)))
    })
    await suite.row(group, `${name}: beside the pull secret of another registry`, () =>
      make(foreign).pull(through(first)),
    )
    await suite.row(group, `${name}: refused without the capability`, () =>
      refusalOf('a pull', make(undefined).pull(recorder)),
    )
  }
  await suite.row(group, 'writes nothing', async () => {
    const to = `${url}/t/${first.secret}/v2/${PRIVATE}/a/blobs/uploads/`
    const response = await fetch(to, { method: 'POST' })
    expectEqual(`status of ${await response.text()}`, response.status, 405)
  })
  const second = await accounts.rotate(NAME)
  for (const { name, make } of all) {
    await suite.row(
      group,
      `${name}: rotated, the old path ends and the new one pulls`,
      async () => {
        const said = await refusalOf('a pull', make(undefined).pull(through(first)), GONE)
        await make(undefined).pull(through(second))
        return said
      },
    )
  }
  await accounts.revoke(NAME)
  for (const { name, make } of all) {
    await suite.row(group, `${name}: revoked`, () =>
      refusalOf('a pull', make(undefined).pull(through(second)), GONE),
    )
  }
}

/** No client is asked to log in. */
const GONE = /not found|unknown|\b404\b/i

async function cases(stage: LoginStage, daemon: Containerd): Promise<readonly Case[]> {
  const { workspace, plain } = stage
  const seeded = async (name: string): Promise<Image> => {
    const image = buildImage(name, { isIndex: false })
    await pushImage(plain.url, image)
    return image
  }
  const image = await seeded(`${TEAM}/capability`)
  const library = await seeded('library/capability')
  const inContainerd = (form: 'ns' | 'prefix' | 'path base') => (foreign: Login | undefined) =>
    containerd(workspace, daemon, {
      host: PRIVATE_HOST,
      form,
      image,
      ...(foreign !== undefined && { authorization: basicOf(foreign) }),
    })
  return [
    { name: 'containerd, ns', make: inContainerd('ns') },
    { name: 'containerd, path base', make: inContainerd('path base') },
    { name: 'containerd, override_path', make: inContainerd('prefix') },
    {
      name: 'podman',
      make: (foreign) => podman(workspace, PRIVATE_HOST, image, credentialsOf('--creds', foreign)),
    },
    {
      name: 'skopeo',
      make: (foreign) => {
        const [credentials] = credentialsOf('--src-creds', foreign)
        return skopeo(
          workspace,
          PRIVATE_HOST,
          image,
          credentials === undefined ? {} : { credentials },
        )
      },
    },
    {
      name: 'newer dockerd',
      make: (foreign) => newerDocker(library, foreign && basicOf(foreign)),
    },
  ]
}

function credentialsOf(flag: string, login: Login | undefined): readonly string[] {
  return login === undefined ? [] : [`${flag}=${login.name}:${login.secret}`]
}
