// Runtimes without weak references, such as older workers.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { Server } from './support.mjs'

const url = 'http://localhost/events'

before(() => {
  // Node's own classes, which need them, are loaded when they are first used.
  new Request(url, { signal: new AbortController().signal })
  new Response(new ReadableStream())
  delete globalThis.FinalizationRegistry
  delete globalThis.WeakRef
})

for (const entry of ['index', 'sveltekit-sse', 'ssekit', 'node']) {
  test(`${entry}.js is imported, and behaves as elsewhere`, async (t) => {
    const { produce, source } = await import(`../../dist/${entry}.js`)
    if (produce) assert.match(await produce(({ emit, close }) => (emit('a', 'b'), close())).text(), /event: a\ndata: b\n\n/)
    if (!source) return
    for (const isPage of [false, true]) {
      if (isPage) globalThis.document = { baseURI: url, addEventListener() {}, removeEventListener() {} }
      t.after(() => delete globalThis.document)
      const server = new Server()
      const iterator = source(url, { fetch: server.fetch })[Symbol.asyncIterator]()
      ;(await server.stream()).write('data: x\n\n')
      assert.equal((await iterator.next()).value.data, 'x')
      await iterator.return()
    }
  })
}
