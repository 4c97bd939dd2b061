// Stands before a registry, passes everything on and remembers what each request was, how many bytes it carried and
// how it was answered: what a mount saves is seen here.

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
}

/** A running recorder; clients are given its `host` instead of the registry's. */
export class Recorder {
  readonly host: string
  readonly url: string
  readonly #requests: RecordedRequest[] = []

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

  /** What has been asked of a repository's blobs, in the order in which it was answered. */
  ofBlobs(repository: string): readonly RecordedRequest[] {
    return this.#requests.filter(({ path }) => path.startsWith(`/v2/${repository}/blobs/`))
  }

  /** The `Host` stays the client's, so that an absolute `Location` leads through here as well. */
  pass(request: IncomingMessage, response: ServerResponse, target: string): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', target)
    let sentBytes = 0
    const onward = forward(
      new URL(request.url ?? '/', target),
      { method: request.method, headers: request.headers },
      (answer) => {
        this.#requests.push({
          method: request.method ?? '',
          path: pathname,
          query: searchParams,
          contentRange: request.headers['content-range'],
          sentBytes,
          status: answer.statusCode ?? 0,
        })
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      },
    )
    onward.on('error', () => response.destroy())
    request.on('data', (chunk: Buffer) => (sentBytes += chunk.length))
    request.pipe(onward)
  }
}
