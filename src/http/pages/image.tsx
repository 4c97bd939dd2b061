// `GET /_/images/<name>` and `<name>:<tag>` or `@<digest>`: which of them is meant, and whether whoever looks may. That is
// decided by the name alone, so it is the same for what is here and for what is not.

import { RegistryError } from '../../oci/error.ts'
import { parseDigest } from '../../oci/digest.ts'
import { parseImageName } from '../../oci/image-name.ts'
import type { ImageName } from '../../oci/image-name.ts'
import type { Reference } from '../../oci/reference.ts'
import type { Visit } from '../authenticate.ts'
import { findReadable, knownAddress, targetOf } from '../authorize.ts'
import { Away } from './elements.tsx'
import { show } from './layout.tsx'
import { ManifestView } from './manifest.tsx'
import { askFor } from './part.ts'
import { RepositoryView } from './repository.tsx'
import { loginNeeded, whoLooks } from './rights.ts'
import { placeOf } from './connect.tsx'

/** Answers GET of what stands behind `/_/images/`. */
export async function getImage(visit: Visit, text: string): Promise<Response> {
  const named = parseImageName(text)
  const { services } = visit
  const address = named && knownAddress(named.name, services.config)
  if (named === undefined || address === undefined) throw absent()
  const caller = await whoLooks(visit)
  if (findReadable(named.name, caller, services.config) === undefined) throw loginNeeded()
  const { kind } = targetOf(address, services.config)
  return named.reference === undefined
    ? showRepository(visit, kind, named.name)
    : showManifest(visit, kind, { name: named.name, reference: named.reference })
}

type Kind = ReturnType<typeof targetOf>['kind']

async function showRepository(visit: Visit, kind: Kind, name: string): Promise<Response> {
  const { services, exchange } = visit
  const after = parseDigest(exchange.query.get('last') ?? '')
  const page = await askFor(visit, () => services.images.repository(kind, name, after))
  if (page.isHere && page.value === undefined) throw absent()
  return show(visit, {
    title: name,
    at: 'images',
    content:
      page.isHere && page.value !== undefined ? (
        <RepositoryView
          page={page.value}
          now={exchange.now()}
          isFirst={after === undefined}
          place={placeOf(visit)}
        />
      ) : (
        <AwayImage name={name} />
      ),
  })
}

async function showManifest(
  visit: Visit,
  kind: Kind,
  { name, reference }: ImageName & { readonly reference: Reference },
): Promise<Response> {
  const { services, exchange } = visit
  const page = await askFor(visit, () => services.images.manifest(kind, name, reference))
  if (page.isHere && page.value === undefined) throw absent()
  const written = reference.kind === 'tag' ? reference.tag : reference.digest
  return show(visit, {
    title: `${name}${reference.kind === 'tag' ? ':' : '@'}${written}`,
    at: 'images',
    content:
      page.isHere && page.value !== undefined ? (
        <ManifestView
          page={page.value}
          written={written}
          now={exchange.now()}
          place={placeOf(visit)}
        />
      ) : (
        <AwayImage name={name} />
      ),
  })
}

function AwayImage({ name }: { readonly name: string }) {
  return (
    <>
      <p class="crumbs">
        <a href="/_/images">Images</a>
      </p>
      <div class="head">
        <h1>{name}</h1>
      </div>
      <Away what="This image" />
    </>
  )
}

function absent(): RegistryError {
  return new RegistryError('NAME_UNKNOWN')
}
