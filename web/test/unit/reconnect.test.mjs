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

test('a final error is reported once, and a temporary one is retried', async () => {
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

test('close is called once, also before it has opened, and not when it was never to open', async () => {
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

test('received events that were not delivered are not delivered after close', async () => {
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

test('an event without a blank line is dropped and reported, or accepted', async () => {
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

test('events that are too large are skipped and reported', async () => {
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
