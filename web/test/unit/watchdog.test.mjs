import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SourceError, source } from '../../dist/index.js'

/** An answer that says these pieces, each in a turn of its own, and then nothing. */
function silentAfter(...pieces) {
  const bytes = pieces.map((piece) => new TextEncoder().encode(piece))
  return async (_url, { signal }) => {
    const body = new ReadableStream({
      pull: (controller) => (bytes.length ? controller.enqueue(bytes.shift()) : new Promise(() => {})),
      start: (controller) => signal.addEventListener('abort', () => controller.error(signal.reason)),
    }, { highWaterMark: 0 })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }
}

test('silence is counted from the last byte, whoever reads it', async () => {
  const readTimeout = 2_000
  const fetch = silentAfter('data: 1\n\n', 'id: 7\nevent: message\ndata: 2\n\n', 'data: 3\n\n')
  const events = []
  let last
  await assert.rejects(
    async () => {
      for await (const { data } of source('http://localhost/', { fetch, readTimeout, reconnect: 'never' })) {
        events.push(data)
        last = performance.now()
      }
    },
    (error) => error instanceof SourceError && error.code === 'read-timeout',
  )
  const silence = performance.now() - last
  assert.deepEqual(events, ['1', '2', '3'])
  assert.ok(silence > readTimeout - 100 && silence < readTimeout * 1.8, `noticed after ${silence} ms`)
})
