// The images of the tour: those of the upstream that plays Docker Hub, and those of the old registry.

import type { Digest } from '../src/oci/digest.ts'
import { addSample, sampleArtifact, sampleImage, sampleIndex } from './sample-image.ts'
import type { SampleManifest } from './sample-image.ts'
import type { SampleUpstream } from './upstream.ts'

const MEBIBYTE = 1024 * 1024
const SIGNATURE = 'application/vnd.dev.sigstore.bundle.v0.3+json'

/** Images of the hub that are a single one, with their size in MiB. What each is for, the chapters say. */
const SINGLE = [
  ['library/alpine', '3.22', 1],
  ['library/redis', '8', 1],
  ['library/idle', '1', 4],
  ['library/late', '1', 0.25],
] as const

/** Fills the upstream that plays Docker Hub. */
export async function fillHub(hub: SampleUpstream): Promise<void> {
  const nginx = await nginxIndex(1)
  await addSample(hub, 'library/nginx', nginx, '1.29')
  const signature = { subject: nginx.descriptor, artifactType: SIGNATURE }
  await addSample(hub, 'library/nginx', await sampleArtifact(signature))
  for (const [index, [repository, tag, size]] of SINGLE.entries()) {
    const image = await sampleImage({ layers: [size * MEBIBYTE], seed: index + 10 })
    await addSample(hub, repository, image, tag)
  }
}

/** A new build of nginx:1.29 appears at the hub. */
export async function rebuildNginx(hub: SampleUpstream): Promise<Digest> {
  return addSample(hub, 'library/nginx', await nginxIndex(2), '1.29')
}

/** Fills the registry that is to be left. */
export async function fillOld(old: SampleUpstream): Promise<void> {
  for (const [index, [repository, tag]] of OLD.entries()) {
    const image = await sampleImage({ layers: [256 * 1024, 1024], seed: index + 30 })
    await addSample(old, repository, image, tag)
    const signature = { subject: image.descriptor, artifactType: SIGNATURE }
    if (tag === '1.0') await addSample(old, repository, await sampleArtifact(signature))
  }
}

const OLD = [
  ['team/app', '1.0'],
  ['team/app', '2.0'],
  ['team/tools/cli', '5'],
  ['other/thing', '1'],
] as const

/** Two platforms, which share nothing. */
async function nginxIndex(build: number): Promise<SampleManifest> {
  const platforms = ['amd64', 'arm64']
  const images = platforms.map((architecture, index) =>
    sampleImage({
      layers: [MEBIBYTE / 2, 1024],
      seed: build * 2 + index,
      platform: { os: 'linux', architecture },
    }),
  )
  return sampleIndex(await Promise.all(images))
}
