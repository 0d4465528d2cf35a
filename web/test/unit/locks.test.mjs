// Where the browser refuses what tabs need to share a connection, such as to a page whose storage is blocked.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { source } from '../../dist/index.js'
import { Server, until } from './support.mjs'

const url = 'http://localhost/events'
const refuse = async () => {
  throw new DOMException('access to the Locks API is denied', 'SecurityError')
}

/** Replaces a global while a test runs. */
function replace(t, name, value) {
  const before = Object.getOwnPropertyDescriptor(globalThis, name)
  Object.defineProperty(globalThis, name, { configurable: true, value })
  t.after(() => (before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]))
}

for (const [name, refused] of [
  ['locks are refused', { navigator: { locks: { request: refuse, query: refuse } } }],
  ['there are no locks', { navigator: {} }],
  ['channels are refused', {
    BroadcastChannel: class {
      constructor() {
        throw new DOMException('the operation is insecure', 'SecurityError')
      }
    },
  }],
]) {
  test(`a source for all tabs has its own connection where ${name}`, async (t) => {
    const locks = { request: async (_name, _options, run) => run({}), query: async () => ({ held: [], pending: [] }) }
    for (const [name, value] of Object.entries({ navigator: { locks }, ...refused })) replace(t, name, value)
    const server = new Server()
    const seen = []
    const connection = source(url, { fetch: server.fetch, tabs: true, key: 'ada', onmessage: ({ data }) => seen.push(data) })
    connection.connect()
    ;(await server.stream()).write('data: x\n\n')
    await until(() => seen.length)
    assert.equal(connection.status.get().state, 'open')
    connection.close()
    assert.equal(connection.status.get().state, 'closed')
  })
}

test('an invalid last event ID is an error, with `tabs`, too', async (t) => {
  replace(t, 'navigator', { locks: { request: async (_name, _options, run) => run({}), query: async () => ({}) } })
  const told = []
  const options = { tabs: true, key: 'ada', lastEventId: 'a\nb', onerror: ({ error }) => told.push(error.code), onclose: ({ reason }) => told.push(reason) }
  source(url, options).connect()
  await until(() => told.length === 2)
  assert.deepEqual(told, ['last-event-id', 'failed'])
})
