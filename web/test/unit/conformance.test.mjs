import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { source } from '../../dist/index.js'
import { Server, settled, until, web } from './support.mjs'

const fixtures = async (name) => JSON.parse(await readFile(join(web, `../crates/wire/tests/conformance/${name}.json`), 'utf8'))
const expanded = (text) => (typeof text === 'string' ? text : text.repeat.repeat(text.times))
const bytes = (text) => Uint8Array.from(expanded(text), (character) => character.charCodeAt(0))

/** The connections of a fixture, each a list of pieces. */
function connections(chunks) {
  const all = [[]]
  for (const chunk of chunks) {
    if (chunk.reconnect) all.push([])
    else all.at(-1).push(bytes(chunk))
  }
  return all
}

/** What comes out of these connections, one after another. */
async function read(connections, { startId = '', limit }) {
  const server = new Server()
  const items = []
  const connection = source('http://localhost/', {
    fetch: server.fetch,
    lastEventId: expanded(startId),
    ...(limit !== undefined && { maxEventBytes: limit }),
    reconnect: { delay: 0, minDelay: 0, maxServerDelay: 0 },
    onmessage: ({ event, data, id }) => items.push([event, data, id]),
    onerror: ({ error }) => error.code === 'too-large' && items.push({ error: 'event too large' }),
  })
  connection.connect()
  for (const [number, pieces] of connections.entries()) {
    const stream = await server.stream(number)
    for (const piece of pieces) stream.write(piece)
    if (number + 1 < connections.length) {
      // What has been enqueued is lost when a stream fails: wait until it has been read.
      await until(() => stream.response.body.locked)
      await settled()
      for (let piece = 0; piece < pieces.length; piece++) await settled()
      stream.fail()
    } else stream.end()
  }
  await until(() => connection.status.get().state === 'closed' || server.requests.length > connections.length)
  const { lastEventId } = connection
  connection.close()
  return { items, lastEventId }
}

const cut = (pieces, size) => {
  const whole = Uint8Array.from(pieces.flatMap((piece) => [...piece]))
  return Array.from({ length: Math.ceil(whole.length / size) }, (_, i) => whole.subarray(i * size, (i + 1) * size))
}

for (const fixture of await fixtures('decode')) {
  test(`decode ${fixture.name}`, async () => {
    const given = connections(fixture.chunks)
    const items = fixture.gives.items
      .filter((item) => !('comment' in item) && item.error !== 'comment too large')
      .map((item) => (Array.isArray(item) ? item.map(expanded) : item))
    const expected = { items, lastEventId: expanded(fixture.gives.lastEventId ?? '') }
    const length = given.flat().reduce((sum, piece) => sum + piece.length, 0)
    assert.deepEqual(await read(given, fixture), expected)
    for (const size of length > 1000 ? [Infinity, 97] : [Infinity, 1, 2, 7]) {
      const pieces = given.map((pieces) => cut(pieces, Math.min(size, Math.max(1, length))))
      assert.deepEqual(await read(pieces, fixture), expected, `in pieces of ${size}`)
    }
  })
}
