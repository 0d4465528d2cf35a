// Events of the page, and those that get lost.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { source } from '../../dist/index.js'
import { Server, settled, until } from './support.mjs'

const url = 'http://ssekit.test/events'
const HOUR = 3_600_000

/** A page that is visible, and whose events the test dispatches. */
function page(t) {
  const document = Object.assign(new EventTarget(), { baseURI: url, visibilityState: 'visible' })
  globalThis.document = document
  t.after(() => delete globalThis.document)
  return {
    show(isVisible) {
      document.visibilityState = isVisible ? 'visible' : 'hidden'
      document.dispatchEvent(new Event('visibilitychange'))
    },
    /** The state changes, and nobody is told. */
    showSilently: (isVisible) => (document.visibilityState = isVisible ? 'visible' : 'hidden'),
  }
}

/** Whether the device says that it has a network. */
function network(t) {
  let isOnline = true
  const { navigator } = globalThis
  Object.defineProperty(globalThis, 'navigator', { configurable: true, get: () => ({ ...navigator, onLine: isOnline }) })
  t.after(() => Object.defineProperty(globalThis, 'navigator', { configurable: true, value: navigator }))
  return { goes: (online) => (isOnline = online) }
}

/** The machine sleeps: its clock goes on, and `performance.now()` does not. */
function sleeper(t) {
  let slept = 0
  const { now } = Date
  t.mock.method(Date, 'now', () => now() + slept)
  return (time) => (slept += time)
}

async function opened(options) {
  const server = new Server()
  const connection = source(url, { fetch: server.fetch, ...options })
  connection.connect()
  const stream = (await server.stream()).write('id: 7\ndata: x\n\n')
  await until(() => connection.lastEventId === '7')
  return { server, connection, stream }
}

test('a stream that was silent while the machine slept is opened again when the page is shown', async (t) => {
  const sleep = sleeper(t)
  const { show } = page(t)
  const { server, connection, stream } = await opened()
  show(true)
  sleep(50_000)
  show(false)
  show(true)
  await settled()
  assert.equal(server.requests.length, 1, 'not after a moment')
  sleep(HOUR)
  show(false)
  assert.equal(server.requests.length, 1)
  show(true)
  assert.equal((await server.request(1)).headers.get('last-event-id'), '7')
  assert(stream.cancelled)
  connection.close()
})

test('small events that came alone count as bytes, too', async (t) => {
  const { show } = page(t)
  let passed = 0
  const now = performance.now.bind(performance)
  t.mock.method(performance, 'now', () => now() + passed)
  const { server, connection, stream } = await opened()
  for (let minute = 0; minute < 3; minute++) {
    passed += 59_000
    stream.write(`id: ${minute}\ndata: x\n\n`)
    await until(() => connection.lastEventId === `${minute}`)
  }
  show(true)
  await settled()
  assert.equal(server.requests.length, 1)
  passed += 60_000
  show(true)
  await server.request(1)
  connection.close()
})

test('a machine that slept is noticed without an event of the page, too', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const sleep = sleeper(t)
  const { server, connection } = await opened()
  sleep(30_000)
  t.mock.timers.tick(30_000)
  await settled()
  assert.equal(server.requests.length, 1)
  sleep(HOUR)
  t.mock.timers.tick(30_000)
  assert.equal((await server.request(1)).headers.get('last-event-id'), '7')
  connection.close()
  await settled()
  // Nothing checks any more.
  sleep(HOUR)
  t.mock.timers.tick(30_000)
  await settled()
  assert.equal(server.requests.length, 2)
})

test('a request that must not be repeated is left alone after a sleep', async (t) => {
  const sleep = sleeper(t)
  const { show } = page(t)
  const server = new Server()
  const connection = source(url, { fetch: server.fetch, body: 'x' })
  connection.connect()
  const stream = await server.stream()
  await until(() => connection.status.get().state === 'open')
  sleep(HOUR)
  show(true)
  await settled()
  assert.equal(stream.cancelled, false)
  connection.close()
})

test('a hidden page that is shown without an event connects a minute later', async (t) => {
  const { show, showSilently } = page(t)
  const { server, connection, stream } = await opened({ openWhenHidden: false })
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let passed = 0
  const now = performance.now.bind(performance)
  t.mock.method(performance, 'now', () => now() + passed)
  const pass = (time) => {
    passed += time
    t.mock.timers.tick(time)
  }
  show(false)
  assert(stream.cancelled)
  assert.equal(connection.status.get().state, 'paused')
  pass(61_000)
  assert.equal(connection.status.get().state, 'paused')
  showSilently(true)
  pass(61_000)
  t.mock.timers.reset()
  await server.request(1)
  connection.close()
})

test('a device that says it is offline only waits longer: it connects to a server that it can reach', async (t) => {
  const { goes } = network(t)
  const { server, connection, stream } = await opened({ reconnect: { delay: 1, minDelay: 1, maxDelay: 20 } })
  goes(false)
  stream.fail()
  assert.equal((await server.request(1)).headers.get('last-event-id'), '7')
  const second = (await server.stream(1)).write('id: 8\ndata: y\n\n')
  await until(() => connection.lastEventId === '8')
  second.fail()
  await server.request(2)
  connection.close()
})

test('the delay of a device that says it is offline is the longest of the policy', async (t) => {
  const { goes } = network(t)
  const { connection, stream } = await opened({ reconnect: { delay: 1, minDelay: 1 } })
  goes(false)
  const since = Date.now()
  stream.fail()
  const status = await until(() => connection.status.get().state === 'waiting' && connection.status.get())
  assert(status.until - since > 29_000, `${status.until - since} ms`)
  connection.close()
})
