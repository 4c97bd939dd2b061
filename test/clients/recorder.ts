// Stands before a registry, passes everything on and remembers what each request was, how many bytes it carried and
// how it was answered: what a mount saves is seen here, and what an answer gives away.

import { request as forward, type IncomingMessage, type ServerResponse } from 'node:http'
import { serve } from './loopback-server.ts'
import type { Workspace } from './process.ts'

/** One request and its answer. */
export interface RecordedRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly contentRange: string | undefined
  readonly sentBytes: number
  readonly status: number
  /** The answer's header lines. */
  readonly headers: string
  /** What has arrived of the answer's body; of layers nothing is kept. */
  readonly body: () => string
}

/** No JSON of the registry is larger, and no config of these rows. */
const KEPT_BYTES = 256 * 1024

/** A running recorder; clients are given its `host` instead of the registry's. */
export class Recorder {
  readonly host: string
  readonly url: string
  /** In the order in which they were answered. */
  readonly requests: RecordedRequest[] = []

  private constructor(url: string) {
    this.url = url
    this.host = new URL(url).host
  }

  static async start(workspace: Workspace, target: string): Promise<Recorder> {
    let recorder: Recorder | undefined
    const { url } = await serve(workspace, (request, response) =>
      recorder?.pass(request, response, target),
    )
    recorder = new Recorder(url)
    return recorder
  }

  /** What has been asked of a repository's blobs. */
  ofBlobs(repository: string): readonly RecordedRequest[] {
    return this.requests.filter(({ path }) => path.startsWith(`/v2/${repository}/blobs/`))
  }

  /** The `Host` stays the client's, so that an absolute `Location` leads through here as well. */
  pass(request: IncomingMessage, response: ServerResponse, target: string): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', target)
    let sentBytes = 0
    // Not parsed: a path reaches the registry as the client wrote it.
    const { hostname, port } = new URL(target)
    const { method, headers, url: path } = request
    const onward = forward({ hostname, port, path, method, headers }, (answer) => {
      this.requests.push({
        method: method ?? '',
        path: pathname,
        query: searchParams,
        contentRange: headers['content-range'],
        sentBytes,
        status: answer.statusCode ?? 0,
        headers: linesOf(answer.rawHeaders),
        body: keepBody(answer),
      })
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.on('data', (chunk: Buffer) => (sentBytes += chunk.length))
    request.pipe(onward)
  }
}

function keepBody(answer: IncomingMessage): () => string {
  const isLarge = Number(answer.headers['content-length'] ?? 0) > KEPT_BYTES
  const chunks: Buffer[] = []
  if (!isLarge) answer.on('data', (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString('latin1')
}

function linesOf(rawHeaders: readonly string[]): string {
  return rawHeaders
    .flatMap((name, index) => (index % 2 === 0 ? `${name}: ${rawHeaders[index + 1]}` : []))
    .join('\n')
}
