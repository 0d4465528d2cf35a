import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, get, request } from 'node:http'
import { connect, createServer as createServer2 } from 'node:http2'
import { test } from 'node:test'
import { produce } from '../../dist/index.js'
import { send } from '../../dist/node.js'
import { until } from './support.mjs'

/** A server that answers each request by `answer(request, response)`. */
async function serving(t, answer, server = createServer()) {
  server.on('request', answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections?.()
  })
  return `http://127.0.0.1:${server.address().port}`
}

/** The response to a request, which the test reads. */
async function ask(url, options = {}) {
  const asked = request(url, options).end()
  asked.on('error', () => {})
  const [response] = await once(asked, 'response')
  return response.setEncoding('utf8')
}

const textOf = async (stream) => {
  let text = ''
  for await (const piece of stream) text += piece
  return text
}

test('head and events reach the client as they are sent, and then the end', async (t) => {
  let end
  const url = await serving(t, (request, response) => {
    const start = ({ emit, close, lastEventId }) => {
      emit('message', `after ${lastEventId}`)
      end = close
    }
    void send(response, produce(start, { request, headers: [['set-cookie', 'a=1'], ['set-cookie', 'b=2']] }))
  })
  const response = await ask(url, { headers: { 'last-event-id': '7' } })
  assert.equal(response.headers['content-type'], 'text/event-stream')
  assert.deepEqual(response.headers['set-cookie'], ['a=1', 'b=2'])
  const [piece] = await once(response, 'data')
  assert.equal(piece, 'event: message\ndata: after 7\n\n')
  end()
  await once(response, 'end')
})

test('a producer stops when its client leaves, and `send` has ended', async (t) => {
  const calls = []
  const url = await serving(t, async (_request, response) => {
    await send(response, produce(({ emit }) => void emit('message', 'x'), { stop: () => void calls.push('stop') }))
    calls.push('sent')
    assert.equal(response.listenerCount('drain') + response.rawListeners('close').filter(({ name }) => name === 'leave').length, 0)
  })
  const response = await ask(url)
  await once(response, 'data')
  response.destroy()
  await until(() => calls.length === 2)
  assert.deepEqual(calls.sort(), ['sent', 'stop'])
})

test('a client that does not read holds the producer up, and one that then leaves stops it', async (t) => {
  let full
  const ended = []
  const url = await serving(t, (_request, response) => {
    const data = 'x'.repeat(50_000)
    const start = async ({ emit, send, signal }) => {
      while (!signal.aborted && !(full = emit('m', data).error)) await new Promise(setImmediate)
      ended.push((await send('m', data)).error.message)
    }
    void send(response, produce(start, { ping: false })).then(() => ended.push('sent'))
  })
  const response = await ask(url)
  response.pause()
  await until(() => full)
  assert.match(full.message, /full/)
  response.destroy()
  await until(() => ended.length === 2)
  assert.deepEqual(ended.sort(), ['Client disconnected from the stream.', 'sent'])
})

test('a client that left before, or that asks for the head alone, starts nothing', async (t) => {
  let started = 0
  const url = await serving(t, async (request, response) => {
    if (request.url === '/gone') await once(response.destroy(), 'close')
    await send(response, produce(() => void started++))
  })
  const gone = get(`${url}/gone`)
  await once(gone, 'error')
  const response = await ask(url, { method: 'HEAD' })
  assert.equal(response.headers['content-type'], 'text/event-stream')
  assert.equal(await textOf(response), '')
  assert.equal(started, 0)
})

test('a start that fails cuts the response: it does not look complete', async (t) => {
  t.mock.method(console, 'error', () => {})
  const url = await serving(t, (_request, response) => {
    void send(response, produce(async ({ emit }) => {
      emit('message', 'before')
      throw new Error('no database')
    }))
  })
  const response = await ask(url)
  await assert.rejects(textOf(response), { code: 'ECONNRESET' })
})

test('204, and HTTP/2', async (t) => {
  const url = await serving(t, (request, response) => {
    void send(response, produce(({ emit, finish }) => {
      emit('message', 'once')
      finish()
    }, { request }))
  }, createServer2())
  const client = connect(url)
  t.after(() => client.destroy())
  const first = client.request({ ':path': '/' })
  const text = await textOf(first.setEncoding('utf8'))
  assert.match(text, /^event: message\ndata: once\n\nid: /)
  const again = client.request({ ':path': '/', 'last-event-id': /^id: (.*)$/m.exec(text)[1] })
  const [head] = await once(again, 'response')
  assert.equal(head[':status'], 204)
  assert.equal(await textOf(again), '')
})
