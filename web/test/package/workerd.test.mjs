// Cloudflare's runtime, which compiles no WebAssembly while it runs: the package has its module as a file there.

import assert from 'node:assert/strict'
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { makeApp } from '../support/app.mjs'
import { freePort } from '../support/program.mjs'
import { until } from '../support/until.mjs'

const WORKER = `
import { produce, source } from './workerd.js'

const hello = () => produce(({ emit, lock }) => {
  emit('message', 'hello')
  emit('tick', 'wörld')
  lock.set(false)
})

const silent = () => produce(({ emit }) => {
  emit('message', 'hello')
  setTimeout(() => emit('message', 'still here'), 40_000)
})

export default {
  async fetch(request) {
    if (new URL(request.url).pathname === '/produce') return hello()
    if (new URL(request.url).pathname === '/silent') return silent()
    const seen = []
    for await (const message of source('http://events/', { fetch: async () => hello() })) seen.push(message)
    return Response.json(seen)
  },
}
`
const configuration = (port) => `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [
    (name = "worker", esModule = embed "worker.mjs"),
    (name = "workerd.js", esModule = embed "workerd.js"),
    (name = "ssekit.wasm", wasm = embed "ssekit.wasm"),
  ],
  compatibilityDate = "2025-01-01",
);
`

let server, url

before(async () => {
  const port = await freePort()
  const files = { 'worker.mjs': WORKER, 'config.capnp': configuration(port) }
  const app = await makeApp('workerd', { packages: { workerd: '1.20261117.1' }, files })
  const { workerd } = JSON.parse(readFileSync(join(app.folder, 'node_modules/ssekit/package.json'), 'utf8')).exports['.']
  for (const file of [workerd, './dist/ssekit.wasm']) {
    copyFileSync(join(app.folder, 'node_modules/ssekit', file), join(app.folder, file.replace('./dist/', '')))
  }
  server = await app.start(['workerd', 'serve', 'config.capnp'])
  url = `http://127.0.0.1:${port}`
})
after(() => server?.kill())

test('it produces', async () => {
  const answer = await until(() => fetch(`${url}/produce`).catch(() => undefined), 'an answer')
  assert.equal(answer.headers.get('content-type'), 'text/event-stream')
  assert.equal(await answer.text(), 'event: message\ndata: hello\n\nevent: tick\ndata: wörld\n\n')
})

test('it listens', async () => {
  const answer = await until(() => fetch(url).catch(() => undefined), 'an answer')
  assert.deepEqual(await answer.json(), [
    { id: '', event: 'message', data: 'hello' },
    { id: '', event: 'tick', data: 'wörld' },
  ])
})

test('it keeps a stream that is silent for 40 s, but for a ping', async () => {
  const answer = await until(() => fetch(`${url}/silent`).catch(() => undefined), 'an answer')
  let text = ''
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    text += piece
    if (text.includes('still here')) break
  }
  assert.equal(text.match(/^event: ping$/gm)?.length, 1)
})
