/** The part of a response of Node's `http`, `https` and `http2` that {@link send} uses. */
export interface NodeResponse {
  readonly destroyed: boolean
  readonly req?: { readonly method?: string | undefined }
  writeHead(status: number, headers: Record<string, string | string[]>): unknown
  flushHeaders?(): unknown
  write(bytes: Uint8Array): boolean
  end(): unknown
  destroy(error?: Error): unknown
  on(event: 'close' | 'drain', listener: () => void): unknown
  off(event: 'close' | 'drain', listener: () => void): unknown
}

/**
 * Answers a request of Node with a response of `produce`, and stops its producer when the client leaves.
 *
 * @returns a promise that is resolved when the response has ended, for whatever reason
 * @example
 * createServer((request, response) => void send(response, produce(({ emit }) => void emit('message',
 * 'hello'))))
 */
export async function send(to: NodeResponse, response: Response): Promise<void> {
  const reader = response.body?.getReader()
  const leave = (): void => void reader?.cancel().catch(() => {})
  to.on('close', leave)
  try {
    // A client that has left before, or that asks for the head alone, has no use for events.
    if (to.destroyed) return leave()
    to.writeHead(response.status, headersOf(response))
    if (to.req?.method === 'HEAD') leave()
    else to.flushHeaders?.()
    for (let piece; (piece = await reader?.read()) && !piece.done; ) {
      if (!to.write(piece.value) && !to.destroyed) await drained(to)
    }
    to.end()
  } catch (error) {
    leave()
    to.destroy(error as Error)
  } finally {
    to.off('close', leave)
  }
}

function headersOf({ headers }: Response): Record<string, string | string[]> {
  const cookies = headers.getSetCookie?.()
  return { ...Object.fromEntries(headers), ...(cookies?.length && { 'set-cookie': cookies }) }
}

/** Waits until the client has read, or has left. */
function drained(to: NodeResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      to.off('drain', done)
      to.off('close', done)
      resolve()
    }
    to.on('drain', done)
    to.on('close', done)
  })
}
