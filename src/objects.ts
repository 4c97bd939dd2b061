// The Durable Objects: all that the platform makes. A shell composes, has one line per method that RPC can reach, and
// the alarm. State and decisions are plain classes in their rooms.

export { Authority } from './objects/authority.ts'
export { BlobClaims, HostedLedger, UploadSession } from './objects/hosted.ts'
export { Job } from './objects/job.ts'
export { Meter } from './objects/meter.ts'
export { BlobFill, MirrorLedger } from './objects/mirror.ts'
export { UpstreamGate } from './objects/upstream.ts'
