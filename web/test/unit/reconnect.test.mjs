import assert from 'node:assert/strict'
import { test } from 'node:test'
import { source } from '../../dist/index.js'
import { Server, settled, until } from './support.mjs'

const url = 'http://localhost/events'
const quick = { delay: 1, minDelay: 1, maxDelay: 5 }

/** A source that is connected, and all that it tells. */
function connected(options) {
  const server = new Server()
  const told = []
  const connection = source(url, {
    fetch: server.fetch,
    reconnect: quick,
    onopen: () => told.push('open'),
    onerror: ({ error }) => told.push(`error ${error.code}`),
    onclose: ({ reason }) => told.push(`close ${reason}`),
    ...options,
  })
  const states = []
  connection.status.subscribe((status) => states.push(status.state))
  connection.connect()
  return { server, connection, told, states }
}

test('a stream that breaks is resumed after its last event', async () => {
  const { server, connection, told, states } = connected()
  const stream = await server.stream()
  stream.write('id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: cut o').fail()
  assert.equal((await server.request(1)).headers.get('last-event-id'), '2')
  const second = await server.stream(1)
  second.write('id: 4\n\n')
  await until(() => connection.lastEventId === '4')
  // An id of UTF-8, and one that no header can hold.
  second.write('id: ä\ndata: c\n\n').fail()
  assert.equal((await server.request(2)).headers.get('last-event-id'), 'Ã¤')
  ;(await server.stream(2)).write('id: a\u0001b\ndata: d\n\n').fail()
  assert.equal((await server.request(3)).headers.has('last-event-id'), false)
  assert.equal(told.at(-1), 'error last-event-id')
  connection.close()
  const again = ['open', 'waiting', 'connecting']
  assert.deepEqual(states, ['idle', 'connecting', ...again, ...again, ...again, 'closed'])
})

test('small events that came alone count: their ids are sent, and delays begin anew', async () => {
  const { server, connection } = connected({ reconnect: { ...quick, maxRetries: 1 } })
  for (let attempt = 0; attempt < 5; attempt++) {
    const stream = await server.stream(attempt)
    // The first piece is for the decoder; what follows it alone is read without.
    stream.write('data: hello\n\n')
    await settled()
    stream.write(`id: ${attempt}\nevent: tick\ndata: x\n\n`)
    await until(() => connection.lastEventId === String(attempt))
    stream.fail()
    assert.equal((await server.request(attempt + 1)).headers.get('last-event-id'), String(attempt))
  }
  connection.close()
})

test('a stream that the server ends stays closed, unless the server has sent retry', async () => {
  const { server, told } = connected()
  ;(await server.stream()).write('data: x\n\n').end()
  await until(() => told.includes('close ended'))
  assert.deepEqual(told, ['open', 'close ended'])

  const asked = connected()
  ;(await asked.server.stream()).write('retry: 1\ndata: x\n\n').end()
  await asked.server.request(1)
  assert.deepEqual(asked.told, ['open', 'error ended'])
  asked.connection.close()

  const always = connected({ reconnect: { ...quick, afterEnd: 'always' } })
  ;(await always.server.stream()).end()
  await always.server.request(1)
  always.connection.close()

  const standard = connected({ reconnect: { preset: 'standard', ...quick } })
  ;(await standard.server.stream()).end()
  await standard.server.request(1)
  standard.connection.close()
})

test('what is final is told once, and what may pass is retried', async () => {
  const final = async (answer, ...expected) => {
    const { server, told, connection } = connected()
    ;(await server.request()).answer(answer).end?.()
    await until(() => told.length === expected.length)
    await settled()
    assert.deepEqual(told, expected)
    assert.equal(server.requests.length, 1)
    return connection.status.get()
  }
  const refused = await final({ status: 403, statusText: 'Forbidden' }, 'error status', 'close failed')
  assert.equal(refused.error.status, 403)
  assert.match(refused.error.message, /403 Forbidden/)
  await final({ status: 200, headers: { 'content-type': 'text/html' } }, 'error content-type', 'close failed')
  const { server, told } = connected()
  ;(await server.request()).answer({ status: 204 })
  await until(() => told.length === 2)
  assert.deepEqual(told, ['error no-content', 'close no-content'])

  for (const status of [408, 425, 429, 500, 503]) {
    const { server, told, connection } = connected()
    ;(await server.request()).answer({ status, headers: { 'retry-after': '0' } }).write('why').end()
    await server.request(1)
    assert.deepEqual(told, ['error status'])
    connection.close()
  }
})

test('the text of a refusal and its Retry-After are in the error', async () => {
  const { server, connection } = connected()
  ;(await server.request()).answer({ status: 503, headers: { 'retry-after': '7' } }).write('back soon').end()
  const status = await until(() => connection.status.get().state === 'waiting' && connection.status.get())
  assert.equal(status.error.body, 'back soon')
  assert.equal(status.error.retryAfter, 7000)
  assert(status.until > Date.now() + 5000 && status.until < Date.now() + 9000)
  connection.connect()
  await server.request(1)
  connection.close()
})

test('a refusal in the form of a stream has no events', async () => {
  const { server, connection, told } = connected()
  const messages = []
  connection.select('message').subscribe((data) => messages.push(data))
  const refusal = (await server.request()).answer({ status: 500, headers: { 'content-type': 'text/event-stream' } })
  for (const piece of ['data: a\n\n', 'data: b\n\n', 'data: c\n\n']) {
    refusal.write(piece)
    await settled()
  }
  refusal.end()
  await server.request(1)
  assert.deepEqual([messages, told], [[''], ['error status']])
  connection.close()
})

test('it gives up after so many retries', async () => {
  const { server, told, connection } = connected({ reconnect: { ...quick, maxRetries: 2 } })
  for (let attempt = 0; attempt < 3; attempt++) (await server.request(attempt)).refuse()
  await until(() => told.length === 4)
  assert.deepEqual(told, ['error connect', 'error connect', 'error connect', 'close gave-up'])
  assert.deepEqual(connection.status.get().retries, 2)
})

test('silence beyond the read timeout, and no answer within the connect timeout', async () => {
  const { server, told, connection } = connected({ readTimeout: 20, connectTimeout: 20 })
  const first = await server.request()
  await server.request(1)
  assert(first.init.signal.aborted)
  assert.deepEqual(told, ['error connect-timeout'])
  const stream = await server.stream(1)
  await server.request(2)
  assert(stream.cancelled)
  assert.deepEqual(told, ['error connect-timeout', 'open', 'error read-timeout'])
  connection.close()
})

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

test('close is told once, also when it has not opened, and not when it was never to open', async () => {
  const { server, connection, told } = connected()
  connection.close()
  connection.close()
  assert.deepEqual(told, ['close local'])
  await settled()
  assert.equal(server.requests.length, 0)
  connection.connect()
  ;(await server.stream()).write('data: x\n\n')
  await until(() => told.includes('open'))
  connection.close()
  connection.close()
  assert.deepEqual(told, ['close local', 'open', 'close local'])

  const never = []
  source(url, { onclose: () => never.push('close') }).close()
  await settled()
  assert.deepEqual(never, [])
})

// A subscriber that closes a source when it sees that it is closed called itself without end.
test('a source that is closed, or about to tell so, tells nothing more when it is closed again', async (t) => {
  const ways = {
    'before it has opened': ({ connection }) => connection.close(),
    'while it is open': async ({ server, connection }) => {
      await server.stream()
      connection.close()
    },
    'when the stream has ended': async ({ server }) => void (await server.stream()).end(),
    'by a signal that was aborted before': [{ signal: AbortSignal.abort() }],
    'by options that are wrong': [{ reconnect: 'sometimes' }],
    'by a leave before it has opened': ({ leave }) => leave(),
    'by a leave': async ({ server, leave }) => {
      await server.stream()
      leave()
    },
  }
  for (const [name, way] of Object.entries(ways)) {
    await t.test(name, async () => {
      const [options, act] = Array.isArray(way) ? [way[0], () => {}] : [{}, way]
      const server = new Server()
      let closed = 0
      let told = 0
      const again = () => {
        assert(closed < 5, 'it calls itself')
        connection.close()
      }
      const callbacks = { onclose: () => (told++, again()), onerror: again }
      const connection = source(url, { fetch: server.fetch, reconnect: 'never', ...callbacks, ...options })
      connection.status.subscribe(({ state }) => state === 'closed' && (closed++, again()))
      // An iterator connects, and leaves.
      const iterator = connection[Symbol.asyncIterator]()
      await act({ server, connection, leave: () => iterator.return() })
      await until(() => told)
      await settled()
      again()
      await settled()
      assert.deepEqual([closed, told], [1, 1])
    })
  }
})

test('a source that leaves a shared connection may close and connect again, and the others stay', async () => {
  const server = new Server()
  const told = []
  const shared = (name, act = () => {}) => {
    const onclose = ({ reason }) => {
      told.push(`${name} ${reason}`)
      act()
    }
    return source(url, { fetch: server.fetch, onclose })
  }
  const stays = shared('stays')
  stays.connect()
  const closes = shared('closes', () => closes.close())
  const comes = shared('comes', () => told.length < 4 && comes.connect())
  const iterators = [closes, comes].map((source) => source[Symbol.asyncIterator]())
  const stream = await server.stream()
  for (const iterator of iterators) await iterator.return()
  await until(() => told.length === 2)
  await settled()
  assert.deepEqual(told, ['closes unsubscribed', 'comes unsubscribed'])
  const states = () => [stays, closes, comes].map((source) => source.status.get().state)
  assert.deepEqual(states(), ['open', 'closed', 'open'])
  assert.equal(server.requests.length, 1)
  assert(!stream.cancelled)
  stays.close()
})

test('connect in the callback of an early close opens a source, and one that cannot open stays closed', async () => {
  const { server, connection, told, states } = connected({ onclose: ({ reason }) => (told.push(`close ${reason}`), connection.connect()) })
  connection.close()
  assert.deepEqual(told, ['close local'])
  await server.stream()
  await until(() => told.includes('open'))
  assert.equal(states.at(-1), 'open')

  const attempts = []
  const wrong = source(url, { reconnect: 'sometimes', onclose: ({ reason }) => (attempts.push(reason), wrong.connect()) })
  wrong.connect()
  await until(() => attempts.length)
  await settled()
  assert.deepEqual([attempts, wrong.status.get().state], [['failed'], 'closed'])
  // It is not stuck: another call is another attempt.
  wrong.connect()
  await until(() => attempts.length === 2)
})

test('what came and was not delivered is not delivered after close', async () => {
  const server = new Server()
  const seen = []
  const connection = source(url, {
    fetch: server.fetch,
    onmessage: ({ data, close }) => {
      seen.push(data)
      if (data === '2') close()
    },
  })
  connection.connect()
  ;(await server.stream()).write('id: 1\ndata: 1\n\nid: 2\ndata: 2\n\nid: 3\ndata: 3\n\n')
  await until(() => connection.status.get().state === 'closed')
  assert.deepEqual(seen, ['1', '2'])
  connection.connect()
  assert.equal((await server.request(1)).headers.get('last-event-id'), '2')
  connection.close()
})

test('restart drops the connection and resumes, without an error', async () => {
  const { server, connection, told } = connected()
  const stream = await server.stream()
  stream.write('id: 9\ndata: x\n\n')
  await until(() => connection.lastEventId === '9')
  connection.restart()
  assert(stream.cancelled)
  assert.equal((await server.request(1)).headers.get('last-event-id'), '9')
  assert.deepEqual(told, ['open'])
  connection.close()
})

test('an event whose blank line is missing is dropped and told, or accepted', async () => {
  for (const acceptIncompleteEvent of [false, true]) {
    const { server, connection, told } = connected({ acceptIncompleteEvent })
    const seen = []
    const ended = (async () => {
      for await (const { id, event, data } of connection) seen.push([id, event, data])
    })()
    ;(await server.stream()).write('id: 1\ndata: a\n\nid: 2\nevent: last\ndata: b').end()
    await ended
    const first = ['1', 'message', 'a']
    assert.deepEqual(seen, acceptIncompleteEvent ? [first, ['2', 'last', 'b']] : [first])
    assert.deepEqual(told, acceptIncompleteEvent ? ['open', 'close ended'] : ['open', 'error incomplete-event', 'close ended'])
    assert.equal(connection.lastEventId, acceptIncompleteEvent ? '2' : '1')
  }
  // A stream that ends between events, or after a comment, is complete.
  const { server, told } = connected()
  ;(await server.stream()).write('data: a\n\n: bye\n').end()
  await until(() => told.includes('close ended'))
  assert.deepEqual(told, ['open', 'close ended'])
})

test('events that are too large are left out, and told of', async () => {
  const { server, connection, told } = connected({ maxEventBytes: 20 })
  const seen = []
  connection.select().subscribe((data) => seen.push(data))
  ;(await server.stream()).write(`data: a\n\nid: 7\ndata: ${'x'.repeat(30)}\n\ndata: b\n\n`)
  await until(() => seen.length === 3)
  assert.deepEqual(seen, ['', 'a', 'b'])
  assert.deepEqual(told, ['open', 'error too-large'])
  assert.equal(connection.lastEventId, '7')
  connection.close()
})
