import assert from 'node:assert/strict'
import { test } from 'node:test'
import { source } from '../../dist/index.js'
import { Server, settled, until } from './support.mjs'

const url = 'http://localhost/events'

/** The request that these options make. */
async function request(options) {
  const server = new Server()
  const connection = source(url, { fetch: server.fetch, ...options })
  connection.connect()
  const request = await server.request()
  connection.close()
  return request
}

test('POST without a body by default, and the options of an event stream', async () => {
  const { init, headers, url: asked } = await request({})
  assert.equal(asked, url)
  assert.equal(init.method, 'POST')
  assert.equal(init.body, undefined)
  assert.equal(headers.get('accept'), 'text/event-stream')
  assert.equal(headers.has('last-event-id'), false)
  assert.equal((await request({ method: 'GET' })).init.cache, 'no-store')
  assert.equal((await request({ method: 'GET', options: { cache: 'reload' } })).init.cache, 'reload')
  assert.equal((await request({ lastEventId: '7' })).headers.get('last-event-id'), '7')
})

test('the request flat, as in 0.15, and nested, as in 0.14; flat wins', async () => {
  const nested = { method: 'PUT', body: 'nested', headers: { 'x-a': '1' }, credentials: 'include' }
  const fromNested = await request({ options: nested })
  assert.equal(fromNested.init.method, 'PUT')
  assert.equal(fromNested.init.body, 'nested')
  assert.equal(fromNested.init.credentials, 'include')
  assert.equal(fromNested.headers.get('x-a'), '1')
  const flat = await request({ options: nested, method: 'PATCH', body: 'flat', headers: [['x-b', '2']], mode: 'cors' })
  assert.equal(flat.init.method, 'PATCH')
  assert.equal(flat.init.body, 'flat')
  assert.equal(flat.init.credentials, 'include')
  assert.equal(flat.init.mode, 'cors')
  assert.equal(flat.headers.get('x-a'), null)
  assert.equal(flat.headers.get('x-b'), '2')
  for (const name of ['fetch', 'reconnect', 'options', 'onopen', 'tabs']) assert.equal(name in flat.init, false)
})

test('headers from a function are asked anew before each attempt', async () => {
  const server = new Server()
  let asked = 0
  const headers = async () => ({ authorization: `Bearer ${++asked}` })
  const connection = source(url, { fetch: server.fetch, headers, reconnect: { delay: 1, minDelay: 1 } })
  connection.connect()
  ;(await server.request()).refuse()
  assert.equal((await server.request(1)).headers.get('authorization'), 'Bearer 2')
  connection.close()
})

test('callbacks: nested, short and long, in this order', async () => {
  const server = new Server()
  const calls = []
  const note = (name) => (it) => calls.push([name, it])
  const connection = source(url, {
    fetch: server.fetch,
    reconnect: 'never',
    options: { onopen: note('raw open'), onmessage: note('raw message'), onclose: note('raw close'), onerror: note('raw error') },
    open: note('open'),
    onopen: note('onopen'),
    close: note('close'),
    onclose: note('onclose'),
    error: note('error'),
    onerror: note('onerror'),
    onmessage: note('onmessage'),
  })
  connection.connect()
  const stream = await server.stream()
  stream.write('id: 1\nevent: tick\ndata: x\n\n')
  await until(() => calls.length === 5)
  stream.fail()
  await until(() => calls.length === 11)
  assert.deepEqual(
    calls.map(([name]) => name),
    ['raw open', 'open', 'onopen', 'raw message', 'onmessage', 'raw error', 'error', 'onerror', 'raw close', 'close', 'onclose'],
  )
  assert(calls[0][1] instanceof Response)
  const opened = calls[1][1]
  assert.deepEqual([opened.id, opened.event, opened.name, opened.data, opened.isLocal, opened.status], ['', 'open', 'open', '', false, 200])
  assert.deepEqual(calls[3][1], { id: '1', event: 'tick', data: 'x' })
  const told = calls[4][1]
  assert.deepEqual([told.id, told.event, told.name, told.data], ['1', 'tick', 'tick', 'x'])
  assert.equal(told.headers.get('content-type'), 'text/event-stream')
  assert.equal(calls[5][1].code, 'read')
  assert.equal(calls[9][1].reason, 'failed')
  assert.equal(calls[9][1].error.code, 'read')
})

test('without a response there is no status, and no headers', async () => {
  const server = new Server()
  const told = []
  const connection = source(url, { fetch: server.fetch, reconnect: 'never', onerror: (it) => told.push(it), onclose: (it) => told.push(it) })
  connection.connect()
  ;(await server.request()).refuse()
  await until(() => told.length === 2)
  for (const { status, statusText, headers, response, error } of told) {
    assert.deepEqual([status, statusText, [...headers], response], [0, '', [], undefined])
    assert.equal(error.code, 'connect')
    assert.equal(error.cause.message, 'connection refused')
  }
})

test('an aborted signal closes the source, also before it has opened', async () => {
  const server = new Server()
  const reasons = []
  const abort = new AbortController()
  const options = { fetch: server.fetch, signal: abort.signal, onclose: ({ reason, isLocal }) => reasons.push([reason, isLocal]) }
  const connection = source(url, options)
  connection.connect()
  const stream = await server.stream()
  abort.abort()
  assert.deepEqual(reasons, [['local', true]])
  assert(stream.cancelled)
  source(url, options).connect()
  await until(() => reasons.length === 2)
  assert.equal(server.requests.length, 1)
})

test('an invalid request is an error, and is the end', async () => {
  const failed = async (from, options) => {
    const codes = []
    const note = (kind) => ({ error }) => codes.push(`${kind} ${error.code}`)
    source(from, { onerror: note('error'), onclose: note('close'), ...options }).connect()
    await until(() => codes.length === 2)
    return codes
  }
  assert.deepEqual(await failed('/relative'), ['error url', 'close url'])
  assert.deepEqual(await failed('http://['), ['error url', 'close url'])
  assert.deepEqual(await failed(url, { method: 'GET', body: 'x' }), ['error url', 'close url'])
  assert.deepEqual(await failed(url, { headers: { 'not a name': 'x' } }), ['error headers', 'close headers'])
  for (const lastEventId of ['a\nb', 'a\rb', 'a\0b']) {
    assert.deepEqual(await failed(url, { lastEventId }), ['error last-event-id', 'close last-event-id'])
  }
  assert.deepEqual(await failed(url, { reconnect: 'sometimes' }), ['error url', 'close url'])
})

// The option of sveltekit-sse; `fetch` refused its value in words that named neither.
test('a boolean for `cache` is refused, and the error names the option that replaces it', async () => {
  for (const options of [{ cache: false }, { cache: true }, { options: { cache: false } }]) {
    const errors = []
    const server = new Server()
    const connection = source(url, { fetch: server.fetch, ...options, onerror: ({ error }) => errors.push(error) })
    connection.connect()
    await until(() => errors.length)
    assert.equal(errors[0].code, 'url')
    assert.match(errors[0].message, /`cache` .*`share`/)
    assert.deepEqual([connection.status.get().state, server.requests.length], ['closed', 0])
  }
  assert.equal((await request({ cache: 'no-cache' })).init.cache, 'no-cache')
})

test('sources of the same request share a connection, others do not', async () => {
  const share = async (one, other) => {
    const server = new Server()
    const connections = [one, other].map((options) => source(url, { fetch: server.fetch, ...options }))
    for (const connection of connections) connection.connect()
    await until(() => connections.every((it) => it.status.get().state === 'connecting') && server.requests.length)
    await settled()
    const requests = server.requests.length
    for (const connection of connections) connection.close()
    return requests === 1
  }
  assert(await share({}, {}))
  assert(await share({}, { method: 'POST', onopen() {}, share: true }))
  assert(await share({ method: 'GET' }, { method: 'GET' }))
  assert(await share({ headers: { a: '1', b: '2' } }, { headers: new Headers([['B', '2'], ['A', '1']]) }))
  assert(await share({ options: { credentials: 'include' } }, { credentials: 'include' }))
  assert(await share({ key: 'ada' }, { key: 'ada' }))
  assert(await share({ key: 'ada', headers: () => ({}) }, { key: 'ada', headers: () => ({}) }))
  assert(!(await share({ key: 'ada' }, { key: 'bob' })))
  assert(!(await share({ key: 'ada', headers: () => ({}) }, { key: 'bob', headers: () => ({}) })))
  assert(!(await share({}, { share: false })))
  assert(!(await share({}, { method: 'GET' })))
  // Each of two equal questions gets its own answer.
  for (const body of ['a', '', new URLSearchParams('a=1'), new Uint8Array([1, 2]).buffer, new FormData()]) {
    assert(!(await share({ body }, { body })))
    assert(!(await share({ options: { body } }, { body, key: 'same' })))
  }
  for (const method of ['PUT', 'PATCH', 'DELETE', 'QUERY']) assert(!(await share({ method }, { method })))
  assert(!(await share({ headers: { a: '1' } }, { headers: { a: '2' } })))
  assert(!(await share({ headers: () => ({}) }, { headers: () => ({}) })))
  assert(!(await share({ credentials: 'include' }, {})))
  assert(!(await share({ readTimeout: 1000 }, {})))
  assert(!(await share({ lastEventId: '7' }, {})))
  assert(!(await share({ signal: new AbortController().signal }, {})))
})
