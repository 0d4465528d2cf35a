// When a request is sent again: the table of `ssekit-session`, over sockets.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { source } from '../../dist/index.js'
import { until } from './support.mjs'

const quick = { delay: 1, minDelay: 1, maxDelay: 5 }

/** The requests of a class each: GET, our default, an idempotent one, and one that may have an effect each time. */
const SAFE = { method: 'GET' }
const SUBSCRIPTION = {}
const IDEMPOTENT = { method: 'PUT', body: 'x' }
const EFFECT = { method: 'POST', body: 'x' }

/** Answers the first request by `first`, and the others by an event. */
async function serve(t, first) {
  const requests = []
  const server = createServer(async (request, response) => {
    requests.push(request)
    for await (const _ of request);
    if (requests.length === 1) return first(response)
    begin(response)
    response.write('data: again\n\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  t.after(() => stop(server))
  return { requests, server, port, url: `http://127.0.0.1:${port}` }
}

async function stop(server) {
  if (!server.listening) return
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}

function begin(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
}

/** The state that follows: `again` when another request brought its event, else the reason of the close. */
async function outcome(t, url, options) {
  const connection = source(url, { share: false, ...options, reconnect: { ...quick, ...options.reconnect } })
  t.after(() => connection.close())
  const seen = new Promise((resolve) => {
    connection.select().subscribe((data) => data === 'again' && resolve('again'))
    connection.status.subscribe(({ state, reason }) => state === 'closed' && resolve(reason))
  })
  connection.connect()
  return seen
}

const silent = () => {}
const reset = (response) => response.socket.resetAndDestroy()
const refuse = (status) => (response) => response.writeHead(status, { 'retry-after': '0' }).end()
/** A stream with this text that then breaks off. */
const broken = (text) => (response) => {
  begin(response)
  response.write(text, () => setImmediate(() => response.destroy()))
}
const ended = (text) => (response) => {
  begin(response)
  response.end(text)
}

const RESUMING = { lastEventId: '7' }
// scene, first answer, options for all of the row, and what follows for GET, POST without a body, PUT, POST with a body
const ROWS = [
  ['sent, no head', reset, {}, 'again', 'again', 'again', 'not-repeated'],
  ['sent, no head, but an id', reset, RESUMING, 'again', 'again', 'again', 'again'],
  ['no head in time', silent, { connectTimeout: 50 }, 'again', 'again', 'again', 'not-repeated'],
  ['408', refuse(408), {}, 'again', 'again', 'again', 'again'],
  ['425', refuse(425), {}, 'again', 'again', 'again', 'again'],
  ['429', refuse(429), {}, 'again', 'again', 'again', 'again'],
  ['503', refuse(503), {}, 'again', 'again', 'again', 'again'],
  ['500', refuse(500), {}, 'again', 'again', 'again', 'not-repeated'],
  ['500, but an id', refuse(500), RESUMING, 'again', 'again', 'again', 'again'],
  ['403', refuse(403), {}, 'failed', 'failed', 'failed', 'failed'],
  ['204', refuse(204), {}, 'no-content', 'no-content', 'no-content', 'no-content'],
  ['broken', broken('data: x\n\n'), {}, 'again', 'again', 'again', 'not-repeated'],
  ['broken after an id', broken('id: 1\ndata: x\n\n'), {}, 'again', 'again', 'again', 'again'],
  ['silent for the read timeout', begin, { readTimeout: 50 }, 'again', 'again', 'again', 'not-repeated'],
  ['ended', ended('data: x\n\n'), {}, 'ended', 'ended', 'ended', 'ended'],
  ['ended after an id', ended('id: 1\ndata: x\n\n'), {}, 'ended', 'ended', 'ended', 'ended'],
  ['ended after retry', ended('retry: 1\ndata: x\n\n'), {}, 'again', 'again', 'again', 'again'],
  ['ended, as EventSource', ended('data: x\n\n'), { reconnect: { preset: 'standard' } }, 'again', 'again', 'ended', 'ended'],
  ['ended, always', ended('data: x\n\n'), { reconnect: { afterEnd: 'always' } }, 'again', 'again', 'again', 'again'],
  ['broken, like safe', broken('data: x\n\n'), { reconnect: { repeatLikeSafe: true } }, 'again', 'again', 'again', 'again'],
  ['broken, not like safe', broken('data: x\n\n'), { reconnect: { repeatLikeSafe: false } }, 'again', 'not-repeated', 'again', 'not-repeated'],
]

for (const [scene, first, options, ...outcomes] of ROWS) {
  test(scene, async (t) => {
    for (const [index, request] of [SAFE, SUBSCRIPTION, IDEMPOTENT, EFFECT].entries()) {
      const name = `${request.method ?? 'POST'} ${request.body ? 'with' : 'without'} a body`
      const { requests, url } = await serve(t, first)
      assert.equal(await outcome(t, url, { ...request, ...options }), outcomes[index], name)
      assert.equal(requests.length > 1, outcomes[index] === 'again', `${name}: ${requests.length} requests`)
    }
  })
}

test('nothing was sent: every request is sent when there is a server', async (t) => {
  for (const request of [SAFE, SUBSCRIPTION, IDEMPOTENT, EFFECT]) {
    const { requests, server, url, port } = await serve(t, ended('data: again\n\n'))
    await stop(server)
    const errors = []
    const seen = outcome(t, url, { ...request, onerror: ({ error }) => errors.push(error) })
    await until(() => errors.length)
    assert.match(errors[0].message, /^no answer from http:.* fetch failed: .*ECONNREFUSED/)
    server.listen(port, '127.0.0.1')
    assert.equal(await seen, 'again')
    assert.equal(requests.length, 1)
  }
})

test('headers that cannot be had are asked for again, for every request', async (t) => {
  const { requests, url } = await serve(t, ended('data: again\n\n'))
  let asked = 0
  const headers = () => {
    if (++asked === 1) throw new Error('no token')
    return {}
  }
  assert.equal(await outcome(t, url, { ...EFFECT, headers }), 'again')
  assert.equal(requests.length, 1)
})
