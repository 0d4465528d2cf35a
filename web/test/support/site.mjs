import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { web } from './paths.mjs'

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.mjs': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
}

/** A page without anything; tests load what they need into it. */
export const BLANK = '<!doctype html><meta charset="utf-8"><title>test</title><link rel="icon" href="data:,">'

/** Starts a server of scripted answers, which also serves the files of a folder, of `web/` unless told otherwise. */
export async function startSite(folder = web) {
  const site = new Site(folder)
  await site.start()
  return site
}

/**
 * A scripted server. `on(path, …handlers)` says how requests for a path are answered: the first by the first handler and
 * so on, the last handler for the rest. A handler is called with node's request and response; the response's `socket`
 * is the TCP connection, for what HTTP does not allow.
 */
class Site {
  #folder
  #handlers = new Map()
  #server
  port = 0
  /** What was asked of scripted paths: `{ method, path, url, headers, body, gone }`; `gone` is set when the client leaves. */
  requests = []

  constructor(folder) {
    this.#folder = folder
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  /** Starts it; after `stop` again on the same port. */
  async start() {
    this.#server = createServer((request, response) => void this.#answer(request, response))
    this.#server.keepAliveTimeout = 0
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = this.#server.address().port
  }

  /** Ends it, with every connection. */
  async stop() {
    if (!this.#server.listening) return
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  on(path, ...handlers) {
    this.#handlers.set(path, { handlers, count: 0 })
    this.requests = this.requests.filter((request) => request.path !== path)
    return `${this.url}${path}`
  }

  /** A page of this text, with these headers; gives its address. */
  page(path, html, headers = {}) {
    return this.on(path, (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...headers }).end(html)
    })
  }

  /** The requests that a scripted path got. */
  asked(path) {
    return this.requests.filter((request) => request.path === path)
  }

  async #answer(request, response) {
    request.on('error', () => {})
    response.on('error', () => {})
    const path = new URL(request.url, 'http://site').pathname
    const script = this.#handlers.get(path)
    if (!script) return serveFile(this.#folder, path, response)
    const seen = {
      method: request.method,
      path,
      url: request.url,
      headers: request.headers,
      body: '',
      gone: false,
    }
    response.on('close', () => (seen.gone = true))
    const handler = script.handlers[Math.min(script.count++, script.handlers.length - 1)]
    this.requests.push(seen)
    try {
      for await (const piece of request) seen.body += piece
      await handler(request, response, seen)
    } catch (error) {
      // The page has gone meanwhile, or the script is wrong: then the test that wrote it fails for want of an answer.
      if (!response.destroyed) response.destroy(error)
    }
  }
}

async function serveFile(folder, path, response) {
  try {
    const bytes = await readFile(join(folder, normalize(decodeURIComponent(path))))
    const type = TYPES[extname(path)] ?? 'application/octet-stream'
    response.writeHead(200, { 'content-type': type, 'cache-control': 'no-cache', 'access-control-allow-origin': '*' }).end(bytes)
  } catch (error) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end(`no such file: ${path}: ${error.code}`)
  }
}

/** An event's bytes, as every server writes them. */
export function event({ id, event: name, data, retry } = {}) {
  const lines = []
  if (retry !== undefined) lines.push(`retry: ${retry}`)
  if (id !== undefined) lines.push(`id: ${id}`)
  if (name !== undefined) lines.push(`event: ${name}`)
  if (data !== undefined) lines.push(...String(data).split('\n').map((line) => `data: ${line}`))
  return `${lines.join('\n')}\n\n`
}

/** Answers with these events, and leaves the stream open. */
export function streaming(...events) {
  return (_request, response) => {
    begin(response)
    for (const each of events) response.write(typeof each === 'string' ? each : event(each))
  }
}

/** Answers with these events, and ends the stream. */
export function ending(...events) {
  return (request, response) => {
    streaming(...events)(request, response)
    response.end()
  }
}

/** Answers with a status and a text. */
export function refusing(status, headers = {}, text = '') {
  return (_request, response) => response.writeHead(status, headers).end(text)
}

/** Begins an event stream: its head leaves at once. */
export function begin(response, headers = {}) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', ...headers })
  response.flushHeaders()
  response.socket?.setNoDelay(true)
}

/** Ends the connection with a TCP reset, once what was written has left. */
export function reset(response) {
  return new Promise((done) => {
    response.write('', () => {
      response.socket?.resetAndDestroy()
      done()
    })
  })
}

/** Writes text in pieces of so many bytes, each with a turn of its own. */
export async function inPieces(response, text, size = 1) {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  for (let start = 0; start < bytes.length; start += size) {
    await new Promise((done) => response.write(bytes.subarray(start, start + size), done))
    await new Promise((turn) => setImmediate(turn))
  }
}
