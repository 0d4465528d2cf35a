import { once } from 'node:events'
import { createServer } from 'node:http'

/**
 * Serves what a handler answers with, a `Response`, as SvelteKit's server for Node does. It allows every origin.
 *
 * @param {(request: { method: string, url: string, headers: Headers }) => Response} handler
 * @param {number} [port] A free one unless given.
 */
export async function serveResponses(handler, port = 0) {
  const server = createServer(async (request, response) => {
    const allowed = { 'access-control-allow-origin': '*', 'access-control-allow-headers': 'last-event-id' }
    if (request.method === 'OPTIONS') return response.writeHead(204, allowed).end()
    const answer = handler({ method: request.method, url: request.url, headers: new Headers(request.headers) })
    response.writeHead(answer.status, { ...Object.fromEntries(answer.headers), ...allowed })
    if (!answer.body) return response.end()
    const reader = answer.body.getReader()
    response.on('close', () => void reader.cancel().catch(() => {}))
    response.flushHeaders()
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        if (!response.write(value)) await once(response, 'drain')
      }
      response.end()
    } catch {
      response.destroy()
    }
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: server.address().port,
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
