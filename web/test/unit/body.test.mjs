// However an answer's body is read, into buffers of the browser's or into one of ours, nothing is lost.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { source } from '../../dist/index.js'
import { until } from './support.mjs'

const encoder = new TextEncoder()
const event = (n, length) => encoder.encode(`id: ${n}\ndata: ${n} ${'x'.repeat(length)}\n\n`)

/** Events in large pieces, then in small ones, then in large ones again, as often as it goes on. */
function pieces(phases) {
  let n = 0
  return Array.from({ length: phases }, (_, phase) =>
    phase % 2
      ? Array.from({ length: 50 }, () => event(++n, 10))
      : Array.from({ length: 5 }, () => Buffer.concat(Array.from({ length: 2_000 }, () => event(++n, 50)))),
  ).flat()
}

/** A body like those of browsers, which can be read into a buffer; `filled` counts how often it was. */
function byteStream(pieces) {
  let rest = new Uint8Array(0)
  const stream = new ReadableStream({
    type: 'bytes',
    pull(controller) {
      if (!rest.length) rest = pieces.shift() ?? rest
      const request = controller.byobRequest
      if (!rest.length) {
        controller.close()
        request?.respond(0)
      } else if (request) {
        const part = rest.subarray(0, request.view.byteLength)
        new Uint8Array(request.view.buffer, request.view.byteOffset, part.length).set(part)
        rest = rest.subarray(part.length)
        filled[part.length < 1_000 ? 'small' : 'large']++
        request.respond(part.length)
      } else {
        controller.enqueue(Uint8Array.from(rest))
        rest = rest.subarray(rest.length)
      }
    },
    cancel: () => void filled.cancelled++,
  })
  const filled = { small: 0, large: 0, cancelled: 0 }
  return { stream, filled }
}

/** A body that can not, as that of any other stream. */
function plainStream(pieces) {
  return new ReadableStream({
    pull: (controller) => (pieces.length ? controller.enqueue(Uint8Array.from(pieces.shift())) : controller.close()),
  })
}

async function numbers(body) {
  const connection = source('http://localhost/', {
    fetch: async () => new Response(body, { headers: { 'content-type': 'text/event-stream' } }),
    reconnect: 'never',
    buffer: 100,
  })
  const numbers = []
  for await (const { id, data } of connection) {
    assert(data.startsWith(`${id} x`) || data === `${id} `, data)
    numbers.push(Number(id))
  }
  return numbers
}

const upTo = (last) => Array.from({ length: last }, (_, index) => index + 1)

test('a fast stream is read into one buffer, a slow one is not, and each event comes once', async () => {
  const { stream, filled } = byteStream(pieces(5))
  assert.deepEqual(await numbers(stream), upTo(30_100))
  assert(filled.large > 10, `${filled.large} large pieces`)
  assert(filled.small > 0 && filled.small < 10, `${filled.small} small pieces of 100`)
})

test('a body that cannot be read into a buffer is read as it is', async () => {
  assert.deepEqual(await numbers(plainStream(pieces(3))), upTo(20_050))
})

test('to close a stream that is read into a buffer closes its body', async () => {
  const { stream, filled } = byteStream(pieces(1))
  const connection = source('http://localhost/', {
    fetch: async () => new Response(stream, { headers: { 'content-type': 'text/event-stream' } }),
    reconnect: 'never',
  })
  let count = 0
  connection.select().subscribe((data) => {
    if (data.startsWith('9000 ')) connection.close()
    if (data) count++
  })
  connection.connect()
  await until(() => filled.cancelled)
  assert.equal(count, 9_000)
})
