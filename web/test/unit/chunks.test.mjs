// The events do not depend on where a stream was cut, nor on who reads a piece: small ones are read in JavaScript.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { source } from '../../dist/index.js'
import { Server, until } from './support.mjs'

const encoder = new TextEncoder()
const lines = [
  'data: x', 'data: {"n":1}', 'data:y', 'data', 'data: ', 'data:  two', 'data: héllo 漢字 🦀', 'id: 7', 'id: é', 'id:', 'id: a\0b', 'id',
  'event: tick', 'event: ', 'event: naïve', 'event', 'retry: 5', 'retry: x', ': comment', ':', 'unknown: field', ' data: x', 'Data: x',
  'data: \uFEFFbom', '\uFEFFdata: x', 'data: a\0b', 'id: 7\ndata: z', 'id: 8\nevent: tick\ndata: z', 'event: tick\nid: 9\ndata: z',
]
const ends = ['\n', '\n', '\n', '\n', '\r', '\r\n']
const broken = [[0xff], [0xc3], [0xe6, 0xbc], [0xf0, 0x9f, 0xa6], [0x80], [0xed, 0xa0, 0x80]]

/** A stream of blocks, mostly well-formed. */
function stream(random) {
  const blocks = []
  for (let count = 1 + random(12); count > 0; count--) {
    const parts = []
    const end = random(4) ? '\n' : ends[random(ends.length)]
    for (let line = 1 + random(3); line > 0; line--) {
      parts.push(...encoder.encode(lines[random(lines.length)]))
      if (random(15) === 0) parts.push(...broken[random(broken.length)])
      parts.push(...encoder.encode(end))
    }
    parts.push(...encoder.encode(end))
    blocks.push(Uint8Array.from(parts))
  }
  return blocks
}

const join = (pieces) => Uint8Array.from(pieces.flatMap((piece) => [...piece]))

function cut(whole, random) {
  const pieces = []
  for (let at = 0; at < whole.length; ) pieces.push(whole.subarray(at, (at += 1 + random(9))))
  return pieces
}

async function read(pieces) {
  const server = new Server()
  const events = []
  const connection = source('http://localhost/', {
    fetch: server.fetch,
    reconnect: 'never',
    onmessage: ({ event, data, id }) => events.push([event, data, id]),
  })
  connection.connect()
  const stream = await server.stream()
  for (const piece of pieces) stream.write(piece)
  stream.end()
  await until(() => connection.status.get().state === 'closed')
  return { events, lastEventId: connection.lastEventId }
}

test('whole, block by block, in pieces of any size: the same events', async () => {
  let count = 0
  for (let seed = 1; seed <= 300; seed++) {
    let state = seed
    const random = (below) => (state = (state * 48271) % 0x7fffffff) % below
    const blocks = stream(random)
    const whole = join(blocks)
    const expected = await read([whole])
    count += expected.events.length
    for (const pieces of [blocks, cut(whole, random), cut(whole, () => 0)]) {
      assert.deepEqual(await read(pieces), expected, `seed ${seed}`)
    }
  }
  assert(count > 500)
})

test('pieces larger than the input are read in parts', async () => {
  const event = `id: 1\ndata: ${'漢x'.repeat(30_000)}\n\n`
  const whole = encoder.encode(event.repeat(5))
  const { events } = await read([whole])
  assert.equal(events.length, 5)
  for (const [, data] of events) assert.equal(data, '漢x'.repeat(30_000))
})

test('names beyond those that get numbers', async () => {
  const names = Array.from({ length: 600 }, (_, i) => `name ${i % 300}`)
  const { events } = await read([encoder.encode(names.map((name) => `event: ${name}\ndata: x\n\n`).join(''))])
  assert.deepEqual(events.map(([name]) => name), names)
})

test('bytes that are no stream at all', async () => {
  for (let seed = 1; seed <= 50; seed++) {
    let state = seed
    const random = (below) => (state = (state * 48271) % 0x7fffffff) % below
    const bytes = Uint8Array.from({ length: 5000 }, () => (random(3) ? random(256) : 10))
    const expected = await read([bytes])
    assert.deepEqual(await read(cut(bytes, random)), expected, `seed ${seed}`)
  }
})
