import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { LaggedError, SourceError, source } from '../../dist/index.js'
import { Server, settled, until } from './support.mjs'

const url = 'http://localhost/events'
const options = (server, more) => ({ fetch: server.fetch, reconnect: 'never', ...more })
const numbered = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => `id: ${from + i}\ndata: ${from + i}\n\n`).join('')

test('every event of any name, in order, whole; leaving the loop closes the connection', async () => {
  const server = new Server()
  const seen = []
  const done = (async () => {
    for await (const message of source(url, options(server))) {
      seen.push(message)
      if (seen.length === 3) break
    }
  })()
  const stream = await server.stream()
  stream.write('data: a\n\nid: 7\nevent: b\nda').write('ta: b1\ndata: b2\n\ndata: ü\n\ndata: not read\n\n')
  await done
  assert.deepEqual(seen, [
    { id: '', event: 'message', data: 'a' },
    { id: '7', event: 'b', data: 'b1\nb2' },
    { id: '7', event: 'message', data: 'ü' },
  ])
  await until(() => stream.cancelled)
})

test('a select gives its events, json and transform their values', async () => {
  const server = new Server()
  const connection = source(url, options(server))
  const take = async (iterable) => {
    const values = []
    for await (const value of iterable) values.push(value)
    return values
  }
  const select = connection.select('n')
  const all = Promise.all([
    take(select),
    take(select.json()),
    take(select.transform((data) => `<${data}>`)),
    take(select.json(({ raw }) => `not ${raw}`)),
  ])
  const stream = await server.stream()
  stream.write('event: n\ndata: 1\n\nevent: other\ndata: 2\n\nevent: n\ndata: 3\n\n').end()
  const [messages, values, texts] = await all
  assert.deepEqual(messages.map(({ data }) => data), ['1', '3'])
  assert.deepEqual(values, [1, 3])
  assert.deepEqual(texts, ['<1>', '<3>'])
})

test('`or` that gives undefined skips the event: in iterators that wait, in those that lag, and in stores', async () => {
  const server = new Server()
  const connection = source(url, options(server))
  const tokens = connection.select().json(({ raw }) => (raw === '[DONE]' ? undefined : `not ${raw}`))
  const waiting = tokens[Symbol.asyncIterator]()
  const late = tokens[Symbol.asyncIterator]()
  const values = []
  tokens.subscribe((value) => values.push(value))
  const first = waiting.next()
  ;(await server.stream()).write('data: [DONE]\n\ndata: 1\n\ndata: oops\n\ndata: [DONE]\n\n').end()
  assert.equal((await first).value, 1)
  assert.equal((await waiting.next()).value, 'not oops')
  assert.equal((await waiting.next()).done, true)
  assert.deepEqual(
    [(await late.next()).value, (await late.next()).value, (await late.next()).done],
    [1, 'not oops', true],
  )
  assert.deepEqual(values, [null, 1, 'not oops'])
  // A transform may well give undefined.
  const nothing = source(url, options(server)).select().transform(() => undefined)[Symbol.asyncIterator]()
  const next = nothing.next()
  ;(await server.stream(1)).write('data: x\n\n')
  assert.deepEqual(await next, { value: undefined, done: false })
  await nothing.return()
})

test('json without `or` throws at data that are none; with it, it goes on', async () => {
  const server = new Server()
  const connection = source(url, options(server))
  const strict = connection.select().json()[Symbol.asyncIterator]()
  const tolerant = connection.select().json(({ previous }) => previous)[Symbol.asyncIterator]()
  ;(await server.stream()).write('data: 1\n\ndata: {\n\ndata: 2\n\n')
  assert.deepEqual(await strict.next(), { value: 1, done: false })
  await assert.rejects(strict.next(), SyntaxError)
  for (const value of [1, 1, 2]) assert.deepEqual(await tolerant.next(), { value, done: false })
  connection.close()
})

test('an iterator that reads on loses nothing, however much comes at once', async () => {
  const server = new Server()
  const connection = source(url, options(server))
  const done = (async () => {
    let next = 1
    for await (const { data } of connection) {
      assert.equal(Number(data), next)
      if (next++ === 20_000) return
    }
  })()
  ;(await server.stream()).write(numbered(1, 20_000))
  await done
})

test('a full iterator loses its oldest events, gets their number, and goes on; the others get all', async () => {
  const server = new Server()
  const connection = source(url, options(server, { buffer: 10 }))
  const iterator = connection[Symbol.asyncIterator]()
  const seen = []
  connection.select().subscribe((data) => data && seen.push(Number(data)))
  const stream = await server.stream()
  stream.write(numbered(1, 1000))
  await until(() => seen.length === 1000)
  await assert.rejects(iterator.next(), (error) => error instanceof LaggedError && error.lost === 990)
  for (let next = 991; next <= 1000; next++) assert.equal((await iterator.next()).value.data, String(next))
  stream.write(numbered(1001, 1001))
  assert.equal((await iterator.next()).value.data, '1001')
  connection.close()
  assert.equal((await iterator.next()).done, true)
})

test('an iterator ends with the connection: by an error if it failed', async () => {
  const server = new Server()
  const refused = source(`${url}?refused`, options(server))[Symbol.asyncIterator]()
  ;(await server.request(0)).answer({ status: 404 }).end()
  await assert.rejects(refused.next(), (error) => error instanceof SourceError && error.code === 'status')
  assert.equal((await refused.next()).done, true)

  const ended = source(`${url}?ended`, options(server))[Symbol.asyncIterator]()
  ;(await server.request(1)).answer().write('data: last\n\n').end()
  assert.equal((await ended.next()).value.data, 'last')
  assert.equal((await ended.next()).done, true)
})

test('a new iterator opens a connection that has closed', async () => {
  const server = new Server()
  const connection = source(url, options(server))
  connection.select().subscribe(() => {})
  connection.connect()
  ;(await server.stream()).write('id: 5\ndata: x\n\n').end()
  await until(() => connection.status.get().state === 'closed')
  const iterator = connection[Symbol.asyncIterator]()
  const second = await server.stream(1)
  assert.equal((await server.request(1)).headers.get('last-event-id'), '5')
  second.write('data: y\n\n')
  assert.equal((await iterator.next()).value.data, 'y')
  await iterator.return()
})

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc')

test('an iterator that somebody waits for is not collected', async () => {
  const server = new Server()
  // Nothing but the promise refers to the iterator and its source.
  const next = source(url, options(server)).select('message').json()[Symbol.asyncIterator]().next()
  const stream = await server.stream()
  for (let round = 0; round < 10; round++) {
    gc()
    await settled()
  }
  assert(!stream.cancelled)
  stream.write('data: 1\n\n')
  assert.deepEqual(await next, { value: 1, done: false })
  await until(async () => {
    gc()
    await settled()
    return stream.cancelled
  })
})

test('a loop that ended by an error lets its connection go when it is collected', async () => {
  const server = new Server()
  const connection = source(url, options(server, { buffer: 2 }))
  connection.status.subscribe(() => {})
  const loop = async () => {
    for await (const { data } of connection) {
      if (data === '1') await until(() => connection.lastEventId === '9')
    }
  }
  const ended = assert.rejects(loop(), LaggedError)
  const stream = await server.stream()
  stream.write(numbered(1, 9))
  await ended
  assert.equal(stream.cancelled, false)
  await until(async () => {
    gc()
    await settled()
    return stream.cancelled
  })
})
