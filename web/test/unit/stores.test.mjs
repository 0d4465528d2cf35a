import assert from 'node:assert/strict'
import { test } from 'node:test'
import { source } from '../../dist/index.js'
import { Server, settled, until } from './support.mjs'

const url = 'http://localhost/events'
const options = (server, more) => ({ fetch: server.fetch, reconnect: 'never', ...more })

/** What a store tells. */
function values(store) {
  const seen = []
  const leave = store.subscribe((value) => seen.push(value))
  return { seen, leave }
}

test('importing and making stores touches nothing, and a store without a page does not connect', async () => {
  const server = new Server()
  const select = source('/relative', options(server)).select('message')
  assert.deepEqual(values(select).seen, [''])
  assert.deepEqual(values(select.json()).seen, [null])
  assert.deepEqual(values(select.transform(() => assert.fail('called for no message'))).seen, [null])
  await settled()
  assert.equal(server.requests.length, 0)
})

test('a store tells every event of its name, equal ones too, and keeps the last', async () => {
  const server = new Server()
  const connection = source(url, options(server))
  const { seen, leave } = values(connection.select('tick'))
  connection.connect()
  const stream = await server.stream()
  stream.write('event: tick\ndata: a\n\nevent: other\ndata: b\n\nevent: tick\ndata: a\n\n')
  await until(() => seen.length === 3)
  assert.deepEqual(seen, ['', 'a', 'a'])
  leave()
  await until(() => stream.cancelled)
  assert.equal(connection.select('tick').get(), 'a')
  assert.equal(connection.select('tick'), connection.select('tick'))
})

test('invalidate is called for all before any gets the value', async () => {
  const server = new Server()
  const connection = source(url, options(server))
  const calls = []
  const select = connection.select()
  for (const name of ['a', 'b']) select.subscribe(() => calls.push(`${name} runs`), () => calls.push(`${name} is invalid`))
  calls.length = 0
  connection.connect()
  ;(await server.stream()).write('data: x\n\n')
  await until(() => calls.length === 4)
  assert.deepEqual(calls, ['a is invalid', 'b is invalid', 'a runs', 'b runs'])
  connection.close()
})

test('a subscriber that comes during a change gets it once; one that has left does not', async () => {
  const server = new Server()
  const connection = source(url, options(server))
  const select = connection.select()
  const late = []
  const left = []
  let leave
  select.subscribe((value) => {
    if (value !== 'x') return
    select.subscribe((value) => late.push(value))
    leave()
  })
  leave = select.subscribe((value) => left.push(value))
  connection.connect()
  ;(await server.stream()).write('data: x\n\n')
  await until(() => late.length)
  assert.deepEqual([late, left], [['x'], ['']])
  connection.close()
})

test('json: parsed; `or` decides of what cannot be, knowing the previous', async () => {
  const server = new Server()
  const connection = source(url, options(server))
  const failures = []
  const or = (failure) => {
    failures.push(failure)
    return failure.previous
  }
  const plain = values(connection.select().json())
  const kept = values(connection.select().json(or))
  connection.connect()
  ;(await server.stream()).write('data: {"n":1}\n\ndata: {oops\n\ndata: {"n":2}\n\n')
  await until(() => kept.seen.length === 4)
  assert.deepEqual(plain.seen, [null, { n: 1 }, null, { n: 2 }])
  assert.deepEqual(kept.seen, [null, { n: 1 }, { n: 1 }, { n: 2 }])
  assert.equal(failures.length, 1)
  assert.equal(failures[0].raw, '{oops')
  assert.deepEqual(failures[0].previous, { n: 1 })
  assert(failures[0].error instanceof SyntaxError)
  connection.close()
})

test('a json or transform store that comes late starts with the newest data, and maps no event twice', async () => {
  const server = new Server()
  const connection = source(url, options(server))
  const select = connection.select()
  const early = values(select)
  connection.connect()
  const stream = await server.stream()
  stream.write('data: 1\n\ndata: 2\n\n')
  await until(() => early.seen.length === 3)
  const mapped = []
  const transform = select.transform((data) => (mapped.push(data), data * 10))
  const late = [values(select.json()), values(transform)]
  assert.deepEqual(late.map(({ seen }) => seen), [[2], [20]])
  late[1].leave()
  const again = values(transform)
  stream.write('data: 3\n\n')
  await until(() => early.seen.length === 4)
  assert.deepEqual([late[0].seen, again.seen, mapped], [[2, 3], [20, 30], ['2', '3']])
  connection.close()
})

test('methods of sources and stores work without their object', async () => {
  const server = new Server()
  const { close, connect, restart, select } = source(url, options(server))
  const { subscribe } = select('x')
  const seen = []
  subscribe((value) => seen.push(value))
  connect()
  ;(await server.stream()).write('event: x\ndata: 1\n\n')
  await until(() => seen.length === 2)
  restart()
  const stream = await server.stream(1)
  close()
  assert(stream.cancelled)
})

test('the error of a subscriber, a transform or a callback is reported, and breaks nothing', async (t) => {
  const reported = t.mock.method(console, 'error', () => {})
  const server = new Server()
  const told = []
  const connection = source(
    url,
    options(server, {
      onmessage: () => {
        throw new Error('from onmessage')
      },
      onerror: ({ error }) => told.push([error.code, error.cause?.message]),
    }),
  )
  const { seen } = values(connection.select())
  connection.select().subscribe((value) => {
    if (value) throw new Error('from a subscriber')
  })
  connection
    .select()
    .transform(() => {
      throw new Error('from transform')
    })
    .subscribe(() => {})
  connection.connect()
  ;(await server.stream()).write('data: a\n\ndata: b\n\n')
  await until(() => seen.length === 3)
  assert.deepEqual(seen, ['', 'a', 'b'])
  const each = ['from onmessage', 'from a subscriber', 'from transform'].map((text) => ['callback', text])
  assert.deepEqual(told, [...each, ...each])
  assert.equal(reported.mock.callCount(), 6)
  connection.close()
})

test('a name with a line end is refused', () => {
  const connection = source(url)
  for (const name of ['a\nb', 'a\rb']) {
    assert.throws(() => connection.select(name), {
      message: `The name of the event must not contain new line characters, received "${name}"`,
    })
  }
})

test('in a page a store connects, and closes when the last one of the connection leaves', async (t) => {
  globalThis.document = { baseURI: 'http://localhost/page/', addEventListener() {}, removeEventListener() {} }
  t.after(() => delete globalThis.document)
  const server = new Server()
  const closes = []
  const make = () => source('../events', options(server, { onclose: ({ reason }) => closes.push(reason) }))
  const [one, other] = [make(), make()]
  const a = values(one.select('a'))
  const b = values(one.select('b'))
  const c = values(other.select('c').transform((data) => data))
  const stream = await server.stream()
  assert.equal((await server.request()).url, 'http://localhost/events')
  stream.write('event: a\ndata: 1\n\nevent: b\ndata: 2\n\nevent: c\ndata: 3\n\n')
  await until(() => c.seen.length === 2)
  assert.equal(server.requests.length, 1)
  a.leave()
  await settled()
  assert.deepEqual(closes, [])
  stream.write('event: b\ndata: 4\n\n')
  await until(() => b.seen.length === 3)
  b.leave()
  await until(() => closes.length === 1)
  assert.equal(stream.cancelled, false)
  c.leave()
  await until(() => stream.cancelled)
  assert.deepEqual(closes, ['unsubscribed', 'unsubscribed'])

  // The next one opens it again, and who goes and comes at once keeps it.
  const again = values(one.select('a'))
  const second = await server.stream(1)
  second.write('event: a\ndata: 5\n\n')
  await until(() => again.seen.length === 2)
  assert.deepEqual(again.seen, ['1', '5'])
  again.leave()
  const next = values(one.select('a'))
  await settled()
  assert.equal(second.cancelled, false)
  next.leave()
  await until(() => second.cancelled)
})

test('a component that replaces another one keeps the connection, each with a source of its own', async (t) => {
  globalThis.document = { baseURI: 'http://localhost/page/', addEventListener() {}, removeEventListener() {} }
  t.after(() => delete globalThis.document)
  const server = new Server()
  const closes = []
  const mount = (name) => values(source(url, options(server, { onclose: ({ reason }) => closes.push(`${name} ${reason}`) })).select('a'))
  const first = mount('first')
  const stream = await server.stream()
  stream.write('event: a\ndata: 1\n\n')
  await until(() => first.seen.length === 2)
  first.leave()
  // A framework may render in a microtask.
  await Promise.resolve()
  const second = mount('second')
  await until(() => closes.length)
  stream.write('event: a\ndata: 2\n\n')
  await until(() => second.seen.length === 2)
  assert.deepEqual([first.seen, second.seen, server.requests.length], [['', '1'], ['', '2'], 1])
  assert.deepEqual(closes, ['first unsubscribed'])
  second.leave()
  await until(() => stream.cancelled)
  assert.deepEqual(closes, ['first unsubscribed', 'second unsubscribed'])
})
