// Programs under Node, Deno and Bun, with the README's lines.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeApp } from '../support/app.mjs'
import { clock } from '../support/clock.mjs'
import { freePort, run, startProgram } from '../support/program.mjs'
import { sample } from '../support/samples.mjs'
import { startSite } from '../support/site.mjs'
import { until } from '../support/until.mjs'

let app, site

/** Globals that a server does not have, or whose use has an effect. */
const TRAPPED = [
  'BroadcastChannel',
  'EventSource',
  'WebAssembly',
  'addEventListener',
  'document',
  'fetch',
  'location',
  'navigator',
  'self',
  'setTimeout',
  'window',
]

before(async () => {
  app = await makeApp('runtimes', { packages: { bun: '1.4.5', deno: '2.9.6' } })
  site = await startSite(app.folder)
  site.on('/custom-event', clock)
})
after(() => site?.stop())

const program = (runtime) => join(app.folder, 'node_modules/.bin', runtime)
const RUNTIMES = {
  Node: () => [process.execPath],
  Deno: () => [program('deno'), 'run', '--quiet', '--allow-net'],
  Bun: () => [program('bun'), 'run'],
}

/** Writes a sample, with the address that it has in this test. */
function write(name, text, address) {
  assert.match(text, /3000/)
  writeFileSync(join(app.folder, name), text.replace(/localhost:3000|port: 3000|listen\(3000\)/, address))
  return name
}

for (const [name, command] of Object.entries(RUNTIMES)) {
  test(`${name} listens, and the loop's end closes the connection`, async () => {
    const text = sample('program')
    const file = write('listen.mjs', text.replace(/^}$/m, '  if (data.startsWith("stop")) break\n}'), new URL(site.url).host)
    let end
    const url = site.on('/custom-event', (request, response) => {
      clock(request, response)
      end = () => response.write('data: stop\n\n')
    })
    assert.ok(url)
    const running = await startProgram([...command(), file], { cwd: app.folder, ready: /^message the time is \d{13}$/ })
    end()
    // Nothing is left that would keep it running.
    assert.equal(await running.end(), 0, running.text)
    await until(() => site.asked('/custom-event').every(({ gone }) => gone), 'the end of the connection')
  })
}

describe('answers', () => {
  for (const name of ['Node', 'Deno', 'Bun']) {
    test(`${name} produces`, async () => {
      const port = await freePort()
      const file = write('answer.mjs', sample(name.toLowerCase()), name === 'Node' ? `listen(${port})` : `port: ${port}`)
      const server = await startProgram([...RUNTIMES[name](), file], { cwd: app.folder })
      try {
        const answer = await until(() => fetch(`http://127.0.0.1:${port}/`).catch(() => undefined), `an answer of ${name}`)
        assert.equal(answer.headers.get('content-type'), 'text/event-stream')
        const { value } = await answer.body.pipeThrough(new TextDecoderStream()).getReader().read()
        assert.equal(value, `event: message\ndata: hello from ${name}\n\n`)
      } finally {
        await server.kill()
      }
    })
  }
})

/** Longer than the idle limit of each runtime that has one, as the samples set it. */
const SILENCE = 40_000

describe('silence', { concurrency: true }, () => {
  for (const name of ['Node', 'Deno', 'Bun']) {
    test(`${name}: a sample that sends an event, and another one after 40 s, is not cut`, async () => {
      const port = await freePort()
      const text = sample(name.toLowerCase()).replace(
        /\(\{ emit \}\) => void (emit\(.*?\))/,
        `({ emit }) => { $1; setTimeout(() => emit('message', 'still here'), ${SILENCE}) }`,
      )
      assert.match(text, /still here/)
      const file = write(`silent-${name}.mjs`, text, name === 'Node' ? `listen(${port})` : `port: ${port}`)
      const server = await startProgram([...RUNTIMES[name](), file], { cwd: app.folder })
      try {
        const answer = await until(() => fetch(`http://127.0.0.1:${port}/`).catch(() => undefined), `an answer of ${name}`)
        let text = ''
        for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
          text += piece
          if (text.includes('still here')) break
        }
        assert.match(text, /hello from[^]*still here/)
        // One event in 40 s, and the ping of the sample.
        assert.equal(text.match(/^event: ping$/gm)?.length, 1)
      } finally {
        await server.kill()
      }
    })
  }
})

test('to import it, and to render its stores on a server, touches no global and connects nowhere', async () => {
  const text = `
    const touched = []
    for (const name of ${JSON.stringify(TRAPPED)}) {
      Object.defineProperty(globalThis, name, { configurable: true, enumerable: false, get: () => void touched.push(name) })
    }
    const trapped = Object.getOwnPropertyNames(globalThis).sort().join()
    const { source } = await import('ssekit')
    console.log('imported', JSON.stringify(touched))
    const event = source('/custom-event').select('message')
    const values = []
    for (const store of [event, event.json(), event.transform(Number)]) store.subscribe((value) => values.push(value))()
    console.log('values', JSON.stringify(values))
    console.log('fetched', touched.includes('fetch') || touched.includes('WebAssembly'))
    console.log('added', Object.getOwnPropertyNames(globalThis).sort().join() !== trapped)
  `
  writeFileSync(join(app.folder, 'server-side.mjs'), text)
  const output = await run([process.execPath, 'server-side.mjs'], { cwd: app.folder })
  assert.deepEqual(output.split('\n'), ['imported []', 'values ["",null,null]', 'fetched false', 'added false'])
})
