// Pushes seeded content to an upstream, byte for byte, as any client would.

import type { Content, Image } from './image.ts'

/** Pushes an image: blobs, platform manifests, and what the tag names. */
export async function pushImage(upstream: string, image: Image): Promise<void> {
  for (const { blobs, manifest } of image.platforms) {
    for (const blob of blobs) await pushBlob(upstream, image.repository, blob)
    await pushManifest(upstream, `${image.repository}/manifests/${manifest.digest}`, manifest)
  }
  await pushManifest(upstream, `${image.repository}/manifests/${image.tag}`, image.top)
}

/** Pushes one blob in one piece. */
export async function pushBlob(upstream: string, repository: string, blob: Content): Promise<void> {
  const session = await fetch(`${upstream}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
  await session.arrayBuffer()
  const location = new URL(session.headers.get('Location') ?? '', upstream)
  location.searchParams.set('digest', blob.digest)
  await expectCreated(
    fetch(location, {
      method: 'PUT',
      body: blob.bytes,
      headers: { 'Content-Type': 'application/octet-stream' },
    }),
  )
}

/** Pushes one manifest to `<repository>/manifests/<reference>`. */
export async function pushManifest(
  upstream: string,
  path: string,
  manifest: Content,
): Promise<void> {
  await expectCreated(
    fetch(`${upstream}/v2/${path}`, {
      method: 'PUT',
      body: manifest.bytes,
      headers: { 'Content-Type': manifest.mediaType },
    }),
  )
}

async function expectCreated(answer: Promise<Response>): Promise<void> {
  const response = await answer
  const body = await response.text()
  if (response.status !== 201)
    throw new Error(`push to ${response.url}: ${response.status} ${body}`)
}
