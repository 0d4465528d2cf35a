// Serves the page, the clients and the rows. A process of its own: the browser's figures are not to wait for it.
import { createServer } from 'node:http'
import { once } from 'node:events'
import { cut, encode, rowNamed } from './rows.mjs'

const bundles = new Map() // path to text, sent by the parent
let prepared = { row: '', streams: new Map() } // of one row: URL to what is written

/** What is written for a URL: `?row=chat&from=0&to=100`, with `&fast` at no pace. */
function prepare(url) {
  const row = rowNamed(url.searchParams.get('row'))
  if (prepared.row !== row.name) prepared = { row: row.name, streams: new Map() }
  const { streams } = prepared
  if (!streams.has(url.search)) {
    const events = encode(row, Number(url.searchParams.get('from')), Number(url.searchParams.get('to')))
    const perSecond = url.searchParams.has('fast') ? undefined : row.perSecond
    streams.set(url.search, { perSecond, pieces: row.perSecond ? events : cut(events) })
  }
  return streams.get(url.search)
}

async function stream(response, { perSecond, pieces }) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  response.flushHeaders()
  const gone = once(response, 'close')
  const start = performance.now()
  for (let sent = 0; sent < pieces.length && !response.destroyed; ) {
    const due = perSecond ? Math.min(pieces.length, Math.floor(((performance.now() - start) * perSecond) / 1000)) : pieces.length
    while (sent < due && !response.destroyed) {
      if (!response.write(pieces[sent++])) await Promise.race([once(response, 'drain'), gone])
    }
    if (sent < pieces.length) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  response.end()
}

/** The pieces of a stream with their lengths before them, for a page that reads them from memory. */
function whole(response, { pieces }) {
  const lengths = Uint32Array.from([pieces.length, ...pieces.map((piece) => piece.length)])
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' })
  response.end(Buffer.concat([Buffer.from(lengths.buffer), ...pieces]))
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost')
  if (url.pathname === '/stream') return void stream(response, prepare(url))
  if (url.pathname === '/pieces') return whole(response, prepare(url))
  const text = bundles.get(url.pathname)
  const type = url.pathname.endsWith('.js') ? 'text/javascript' : 'text/html; charset=utf-8'
  response.writeHead(text === undefined ? 404 : 200, { 'content-type': type, 'cache-control': 'no-store' })
  response.end(text)
})

process.on('message', (files) => {
  for (const [path, text] of Object.entries(files)) bundles.set(path, text)
  server.listen(0, '127.0.0.1', () => process.send(server.address().port))
})
process.on('disconnect', () => process.exit())
