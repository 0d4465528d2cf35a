// The wire format's fixtures, through the package in Chromium, over real HTTP: the same whatever the pieces are.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { inChromium, loadPackage } from '../support/browser.mjs'
import { repository } from '../support/paths.mjs'
import { begin, inPieces } from '../support/site.mjs'

const it = inChromium()
const fixtures = JSON.parse(await readFile(join(repository, 'crates/wire/tests/conformance/decode.json'), 'utf8'))

/** A text of the fixtures, of which long ones are given as a repetition. */
const expand = (text) => (typeof text === 'object' ? text.repeat.repeat(text.times) : text)

/** The bytes of each connection of a fixture, as the pieces that it names. */
function connectionsOf({ chunks }) {
  const connections = [[]]
  for (const chunk of chunks) {
    if (chunk.reconnect) connections.push([])
    else connections.at(-1).push(Buffer.from(expand(chunk), 'latin1'))
  }
  return connections
}

/** What a page sees of a fixture. Comments are not told to pages. */
function expectedOf({ gives: { items = [], lastEventId = '' } }) {
  const seen = items.filter((item) => !item.comment && item.comment !== '' && item.error !== 'comment too large')
  return {
    items: seen.map((item) => (Array.isArray(item) ? item.map(expand) : [item.error])),
    lastEventId: expand(lastEventId),
  }
}

const asItIs = (pieces) => pieces
const inOnePiece = (pieces) => [Buffer.concat(pieces)]

/** In pieces of so many bytes. */
const inPiecesOf = (size) => (pieces) => {
  const bytes = Buffer.concat(pieces)
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) => bytes.subarray(n * size, (n + 1) * size))
}

/** A block in each piece, as servers write them. */
const inBlocks = (pieces) => {
  const blocks = Buffer.concat(pieces).toString('latin1').match(/[^]*?\n\n|[^]+$/g) ?? []
  return blocks.map((block) => Buffer.from(block, 'latin1'))
}

/** In one piece that is large, by a comment before it, after a mark that begins the stream. */
const inLargePiece = (pieces) => {
  const bytes = Buffer.concat(pieces)
  if (bytes[0] === MARK[0] && !bytes.subarray(0, 3).equals(MARK)) return [bytes]
  const mark = bytes[0] === MARK[0] ? MARK : Buffer.alloc(0)
  return [Buffer.concat([mark, Buffer.from(`:${'ä🎈'.repeat(2000)}\n`), bytes.subarray(mark.length)])]
}
const MARK = Buffer.from('\ufeff')

/** Serves a fixture, cut in this way: a connection of it for each request, and 204 when it has no more. */
function serve(path, fixture, cut) {
  const handlers = connectionsOf(fixture).map((pieces) => async (_request, response) => {
    begin(response)
    for (const piece of cut(pieces)) await inPieces(response, piece, piece.length || 1)
    response.end()
  })
  it.site.on(path, ...handlers, (_request, response) => response.writeHead(204).end())
}

/** Reads a fixture in the page to its end. */
const read = ({ path, startId, limit }) =>
  new Promise((done) => {
    const items = []
    const reconnect = { preset: 'standard', delay: 1, minDelay: 1, maxDelay: 1, maxServerDelay: 1, jitter: false }
    const options = { share: false, reconnect, buffer: 10_000 }
    if (startId !== undefined) options.lastEventId = startId
    if (limit !== undefined) options.maxEventBytes = limit
    const source = ssekit.source(path, {
      ...options,
      onmessage: ({ id, event, data }) => items.push([event, data, id]),
      onerror: ({ error }) => error.code === 'too-large' && items.push(['event too large']),
      onclose: () => done(items),
    })
    source.connect()
  })

/** The last event ID that a path was last asked with: what the client knows after all that came before. */
function lastIdOf(path) {
  const id = it.site.asked(path).at(-1).headers['last-event-id'] ?? ''
  return Buffer.from(id, 'latin1').toString()
}

async function check(cut) {
  await loadPackage(it.page)
  const failures = []
  const queue = [...fixtures.entries()]
  const lane = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [index, fixture] = next
      const path = `/fixture-${index}`
      serve(path, fixture, cut)
      const startId = fixture.startId && expand(fixture.startId)
      const items = await it.page.evaluate(read, { path, startId, limit: fixture.limit })
      try {
        assert.deepEqual({ items, lastEventId: lastIdOf(path) }, expectedOf(fixture))
      } catch (error) {
        failures.push(`${fixture.name}: ${error.message.slice(0, 600)}`)
      }
    }
  }
  await Promise.all([lane(), lane(), lane(), lane()])
  assert.ok(fixtures.length > 100, 'the fixtures are there')
  assert.equal(failures.length, 0, `${failures.length} of ${fixtures.length}:\n${failures.join('\n')}`)
}

test('the fixtures, in the pieces that they name', () => check(asItIs))
test('the fixtures, each connection in one piece', () => check(inOnePiece))
test('the fixtures, each connection in one large piece', () => check(inLargePiece))
test('the fixtures, a block in each piece', () => check(inBlocks))
for (const size of [1, 3, 7]) test(`the fixtures, in pieces of ${size}`, () => check(inPiecesOf(size)))
