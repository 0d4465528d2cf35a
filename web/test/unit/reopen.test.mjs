// `connect` of a notice, which opens a connection again that has closed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { source } from '../../dist/index.js'
import { Server, settled, until } from './support.mjs'

const url = 'http://localhost/events'
const quick = { delay: 1, minDelay: 1, maxDelay: 5 }

test('connect in a close callback connects again after the delay; after a local close only for a subscriber', async () => {
  const server = new Server()
  const reasons = []
  const connection = source(url, {
    fetch: server.fetch,
    reconnect: quick,
    onclose: ({ reason, connect }) => {
      reasons.push(reason)
      connect()
    },
  })
  const states = []
  connection.status.subscribe(({ state }) => states.push(state))
  connection.connect()
  for (let attempt = 0; attempt < 3; attempt++) (await server.stream(attempt)).end()
  await server.stream(3)
  assert.deepEqual(reasons, ['ended', 'ended', 'ended'])
  assert.deepEqual(states.slice(3, 6), ['closed', 'waiting', 'connecting'])
  await until(() => connection.status.get().state === 'open')
  connection.close()
  await settled()
  assert.deepEqual(reasons.slice(3), ['local'])
  assert.equal(server.requests.length, 4)
  assert.equal(connection.status.get().state, 'closed')
})

/** A source with a subscriber, and the `connect` of each close that it was told. */
function closing(options) {
  const server = new Server()
  const connects = []
  const reasons = []
  const onclose = ({ reason, connect }) => {
    reasons.push(reason)
    connects.push(connect)
  }
  const connection = source(url, { fetch: server.fetch, reconnect: quick, onclose, ...options })
  const leave = connection.select().subscribe(() => {})
  connection.connect()
  return { server, connection, connects, reasons, leave }
}

test('a kept connect opens a connection again that was closed here, as long as somebody subscribes', async () => {
  const { server, connection, connects, reasons, leave } = closing()
  ;(await server.stream()).write('id: 7\ndata: x\n\n')
  await until(() => connection.lastEventId === '7')
  for (let round = 1; round < 4; round++) {
    connection.close()
    assert.equal(server.requests.length, round)
    connects.at(-1)()
    await server.stream(round)
    await until(() => connection.status.get().state === 'open')
    assert.equal(server.requests[round].headers.get('last-event-id'), '7')
  }
  // While it is open, one more changes nothing.
  connects[0]()
  connection.close()
  leave()
  connects.at(-1)()
  await settled()
  assert.equal(server.requests.length, 4)
  assert.deepEqual(reasons, ['local', 'local', 'local', 'local'])
  // The source itself still can be opened.
  connection.connect()
  await server.stream(4)
  connection.close()
})

test('connect in the callback of a local close opens it again once, and not for a subscriber that has left', async () => {
  const { server, connection, reasons, leave } = closing({
    onclose: ({ reason, connect }) => {
      reasons.push(reason)
      connect()
      connect()
    },
  })
  await server.stream()
  await until(() => connection.status.get().state === 'open')
  connection.close()
  const stream = await server.stream(1)
  await until(() => connection.status.get().state === 'open')
  leave()
  await until(() => stream.cancelled)
  await new Promise((resolve) => setTimeout(resolve, 3 * quick.maxDelay))
  assert.deepEqual(reasons, ['local', 'unsubscribed'])
  assert.equal(server.requests.length, 2)
})

test('close cancels a reopening that is due, also after the source was opened meanwhile', async (t) => {
  for (const opensMeanwhile of [false, true]) {
    const { server, connection, reasons, leave } = closing({
      reconnect: { delay: 1000 },
      onclose: ({ reason, connect }) => reasons.push(reason) === 1 && connect(),
    })
    await server.stream()
    await until(() => connection.status.get().state === 'open')
    t.mock.timers.enable({ apis: ['setTimeout'] })
    connection.close()
    if (opensMeanwhile) {
      connection.connect()
      await settled()
    }
    connection.close()
    t.mock.timers.tick(1000)
    await settled()
    t.mock.timers.reset()
    assert.equal(connection.status.get().state, 'closed')
    assert.equal(server.requests.length, opensMeanwhile ? 2 : 1)
    assert.deepEqual(reasons, opensMeanwhile ? ['local', 'local'] : ['local'])
    leave()
  }
})

test('connect in the callback of a local close waits for the delay of the policy', async (t) => {
  for (const [reconnect, delay] of [
    ['resilient', 1000],
    ['standard', 3000],
    [{ delay: 200 }, 200],
    [{ minDelay: 5000 }, 5000],
  ]) {
    const { server, connection, leave } = closing({ reconnect, onclose: ({ connect }) => connect() })
    await server.stream()
    await until(() => connection.status.get().state === 'open')
    t.mock.timers.enable({ apis: ['setTimeout'] })
    connection.close()
    t.mock.timers.tick(delay - 1)
    await settled()
    assert.equal(server.requests.length, 1, `${JSON.stringify(reconnect)}: not before ${delay} ms`)
    t.mock.timers.tick(1)
    t.mock.timers.reset()
    await server.request(1)
    leave()
    await until(() => connection.status.get().state === 'closed')
  }
})

test('connect in the callback of a close opens it again for the source that asked, and the others have closed', async () => {
  const server = new Server()
  const told = []
  const make = (name, onclose) => {
    const connection = source(url, { fetch: server.fetch, reconnect: quick, onclose, onmessage: ({ data }) => told.push(`${name} ${data}`) })
    const leave = connection.select().subscribe(() => {})
    connection.connect()
    return { status: connection.status, leave }
  }
  const back = make('back', ({ connect }) => connect())
  const gone = make('gone', () => told.push('gone closes'))
  ;(await server.stream()).write('data: 1\n\n').end()
  ;(await server.stream(1)).write('data: 2\n\n')
  await until(() => told.includes('back 2'))
  assert.deepEqual(told, ['back 1', 'gone 1', 'gone closes', 'back 2'])
  assert.deepEqual([back.status.get().state, gone.status.get().state], ['open', 'closed'])
  back.leave()
})

test('a notice\'s connect does not hold a connection open that nobody wants any more', async () => {
  const { server, connection, leave } = closing({ onerror: ({ connect }) => connect() })
  // The subscriber alone wants it from here on.
  connection.close()
  const other = connection.select('x').subscribe(() => {})
  connection.connect()
  await server.request()
  other()
  leave()
  await settled()
  assert.equal(connection.status.get().state, 'closed')
})

test('a source whose signal was aborted is not opened again', async () => {
  const abort = new AbortController()
  const { server, connects, reasons } = closing({ signal: abort.signal })
  await server.stream()
  abort.abort()
  await until(() => reasons.length === 1)
  connects[0]()
  await settled()
  assert.deepEqual([reasons.length, server.requests.length], [1, 1])
})

test('events that came and were not delivered before a local close are asked for again', async () => {
  const server = new Server()
  const seen = []
  const connection = source(url, {
    fetch: server.fetch,
    reconnect: quick,
    onclose: ({ connect }) => connect(),
    onmessage: ({ data, close }) => {
      seen.push(data)
      if (data === '2') close()
    },
  })
  const leave = connection.select().subscribe(() => {})
  connection.connect()
  ;(await server.stream()).write('id: 1\ndata: 1\n\nid: 2\ndata: 2\n\nid: 3\ndata: 3\n\n')
  const again = await server.request(1)
  assert.equal(again.headers.get('last-event-id'), '2')
  again.answer().write('id: 3\ndata: 3\n\n')
  await until(() => seen.length === 3)
  assert.deepEqual(seen, ['1', '2', '3'])
  leave()
})

test('an iterator goes on through that', async () => {
  const server = new Server()
  const connection = source(url, { fetch: server.fetch, reconnect: quick, onclose: ({ connect }) => connect() })
  const iterator = connection[Symbol.asyncIterator]()
  ;(await server.stream()).write('data: a\n\n').end()
  assert.equal((await iterator.next()).value.data, 'a')
  const next = iterator.next()
  ;(await server.stream(1)).write('data: b\n\n')
  assert.equal((await next).value.data, 'b')
  await iterator.return()
})
