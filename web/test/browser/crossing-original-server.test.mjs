// Crossing: our client in Chromium against `produce` of npm's `sveltekit-sse` 0.14.3 on Node.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { inChromium, loadNotes, loadPackage, notesOf } from '../support/browser.mjs'
import { serveResponses } from '../support/responses.mjs'
import { importOriginalProduce } from '../support/original.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()
let produce
before(async () => (produce = await importOriginalProduce()))

/** Runs a scene against a server whose streams `start` feeds; gives it the server and what its stop hook has seen. */
async function against(start, options, scene) {
  const stops = []
  const handler = () => produce(start, { ...options, stop: () => void stops.push(performance.now()) })
  const server = await serveResponses(handler)
  try {
    await loadPackage(it.page)
    await scene(server, stops, handler)
  } finally {
    await server.stop()
  }
}

const watch = (url, options) => it.page.evaluate(([url, options]) => void watch(url, options), [url, options])

test('every event arrives, in order, with its id, also equal ones and those of several lines', async () => {
  const texts = ['one', 'one', '', 'two\nlines', 'ünï 🎈']
  const start = ({ emit }) => texts.forEach((text) => emit('message', text))
  await against(start, {}, async (server) => {
    await watch(server.url)
    const messages = await it.noted('message', texts.length)
    assert.deepEqual(messages, texts.map((text, index) => [`${index + 1}`, 'message', text]))
    const values = (await notesOf(it.page, 'value')).map(([, value]) => value)
    assert.deepEqual(values, ['', ...texts])
  })
})

test('json, transform and an iterator read the same connection', async () => {
  let requests = 0
  const start = ({ emit }) => {
    requests++
    emit('stats', '{"load":1}')
    emit('stats', '{"load":')
    emit('stats', '{"load":3}')
  }
  await against(start, {}, async (server) => {
    await it.page.evaluate((url) => {
      const stats = ssekit.source(url).select('stats')
      stats.json(({ previous }) => previous).subscribe((value) => note('json', value))
      stats.transform((text) => text.length).subscribe((value) => note('length', value))
      void (async () => {
        for await (const { id, data } of ssekit.source(url)) note('read', [id, data])
      })()
    }, server.url)
    assert.deepEqual(await it.noted('json', 4), [null, { load: 1 }, { load: 1 }, { load: 3 }])
    assert.deepEqual(await it.noted('length', 4), [null, 10, 8, 10])
    assert.deepEqual(await it.noted('read', 3), [['1', '{"load":1}'], ['2', '{"load":'], ['3', '{"load":3}']])
    assert.equal(requests, 1)
  })
})

test('pings of the original are events with an id, and are passed on as such', async () => {
  await against(() => {}, { ping: 20 }, async (server) => {
    await watch(server.url)
    const messages = await it.noted('message', 2)
    assert.deepEqual(messages.slice(0, 2), [['1', 'ping', ''], ['2', 'ping', '']])
  })
})

test('an unlocked stream is one close that is not local, and is not opened again', async () => {
  let requests = 0
  const start = ({ emit, lock }) => {
    requests++
    emit('message', 'hello')
    lock.set(false)
  }
  await against(start, {}, async (server, stops) => {
    await watch(server.url)
    const [close] = await it.noted('close')
    assert.deepEqual([close.isLocal, close.status, close.reason], [false, 200, 'ended'])
    assert.deepEqual(await notesOf(it.page, 'message'), [['1', 'message', 'hello']])
    assert.equal(stops.length, 1)
    assert.equal(requests, 1)
  })
})

test('closing runs the stop hook of the original', async () => {
  await against(({ emit }) => void emit('message', 'hello'), {}, async (server, stops) => {
    await watch(server.url)
    await it.noted('message')
    assert.equal(stops.length, 0)
    await it.page.evaluate(() => globalThis.source.close())
    await until(() => stops.length === 1, 'the stop hook')
    const [close] = await it.noted('close')
    assert.deepEqual([close.isLocal, close.reason], [true, 'local'])
  })
})

test('a server that is restarted is found again', async () => {
  await against(({ emit }) => void emit('message', 'hello'), {}, async (server, _stops, handler) => {
    await watch(server.url, { reconnect: { delay: 50, minDelay: 10 } })
    await it.noted('message')
    await server.stop()
    const [error] = await it.noted('error')
    assert.equal(error.error.code, 'read')
    const again = await serveResponses(handler, server.port)
    try {
      assert.deepEqual(await it.noted('message', 2), Array(2).fill(['1', 'message', 'hello']))
      assert.equal((await notesOf(it.page, 'close')).length, 0)
    } finally {
      await again.stop()
    }
  })
})

test('EventSource reads the original, too: the harness serves it as SvelteKit does', async () => {
  const server = await serveResponses(() => produce(({ emit }) => void emit('message', 'hello')))
  try {
    await loadNotes(it.page)
    await it.page.evaluate((url) => {
      new EventSource(url).onmessage = ({ data, lastEventId }) => note('message', [lastEventId, data])
    }, server.url)
    assert.deepEqual(await it.noted('message'), [['1', 'hello']])
  } finally {
    await server.stop()
  }
})
