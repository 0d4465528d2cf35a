// `produce` of the package on Node, as SvelteKit serves it, read in Chromium: by our client, the original's, and EventSource.
// The numbers are those of the table in `decisions.test.mjs`.
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { inChromium, loadNotes, loadPackage, notesOf } from '../support/browser.mjs'
import { bundleOriginalClient } from '../support/original.mjs'
import { serveResponses } from '../support/responses.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()

/** Runs a scene with a server that answers with what `answer` gives, and the package. */
async function serving(answer, scene) {
  const { produce } = await import('../../dist/index.js')
  const server = await serveResponses((request) => answer(produce, request))
  try {
    await loadPackage(it.page)
    await scene(server)
  } finally {
    await server.stop()
  }
}

const watch = (url, options = {}) => it.page.evaluate(([url, options]) => void watch(url, options), [url, options])

test('2.1 events arrive with the ids that they are given, in order, and the stop hook and then the clean-up run once', async () => {
  const ended = []
  const texts = ['one', '', 'two\nlines', 'ünï 🎈']
  const answer = (produce) =>
    produce(
      ({ emit }) => {
        for (const [index, text] of texts.entries()) {
          assert.deepEqual(emit('x', text, { id: index + 1 }), { value: undefined, error: false })
        }
        return () => ended.push('clean-up')
      },
      { stop: () => ended.push('stop') },
    )
  await serving(answer, async (server) => {
    await watch(server.url)
    const messages = await it.noted('message', texts.length)
    assert.deepEqual(messages, texts.map((text, index) => [`${index + 1}`, 'x', text]))
    assert.deepEqual(ended, [])
    await it.page.evaluate(() => globalThis.source.close())
    await until(() => ended.length === 2, 'both hooks')
    assert.deepEqual(ended, ['stop', 'clean-up'])
  })
})

test('2.2 unlocking sends the emitted events, ends the stream, and refuses later ones', async () => {
  const results = []
  const ended = []
  const answer = (produce) =>
    produce(
      ({ emit, lock }) => {
        emit('message', 'hello')
        lock.set(false)
        results.push(emit('message', 'too late'))
      },
      { stop: () => ended.push('stop') },
    )
  await serving(answer, async (server) => {
    await watch(server.url)
    const [close] = await it.noted('close')
    assert.deepEqual([close.reason, close.isLocal], ['ended', false])
    assert.deepEqual(await notesOf(it.page, 'message'), [['', 'message', 'hello']])
    assert.equal(results[0].value, null)
    assert.equal(results[0].error.message, 'Client disconnected from the stream.')
    assert.deepEqual(ended, ['stop'])
  })
})

test('Q7 no text adds a field or an event: data is split at CR, LF and CRLF, names with them are refused', async () => {
  const refused = []
  const answer = (produce) =>
    produce(({ emit }) => {
      emit('x', 'a\rid: 66\r\nevent: evil\n\ndata: b')
      for (const name of ['x\ndata: evil', 'x\rdata: evil']) refused.push(emit(name, 'evil').error.message)
      emit('last', '')
    })
  await serving(answer, async (server) => {
    await watch(server.url)
    assert.deepEqual(await it.noted('message', 2), [['', 'x', 'a\nid: 66\nevent: evil\n\ndata: b'], ['', 'last', '']])
    assert.equal(refused.length, 2)
    refused.forEach((text) => assert.match(text, /must not contain new line characters/))
  })
})

test('Q10 a client that does not read costs bounded memory: emit says when there is no room', async () => {
  let full
  const answer = (produce) =>
    produce(({ emit }) => {
      for (let count = 0; count < 100 && !full; count++) {
        const { error } = emit('x', 'y'.repeat(100_000))
        if (error) full = { count, message: error.message }
      }
    })
  await serving(answer, async (server) => {
    await watch(server.url)
    await until(() => full, 'emit refuses')
    assert.ok(full.count >= 8 && full.count <= 20, `after ${full.count} events of 100 kB`)
    assert.match(full.message, /full/)
  })
})

test('Q11 a producer learns at its next emit, and by the signal, that its client has gone', async () => {
  const seen = {}
  const answer = (produce) =>
    produce(async ({ emit, signal }) => {
      signal.addEventListener('abort', () => (seen.aborted = true))
      while (!seen.error) {
        seen.error = emit('x', 'tick').error
        await new Promise((turn) => setImmediate(turn))
        if (emit('x', 'tock').error) seen.error = true
      }
    })
  await serving(answer, async (server) => {
    await watch(server.url)
    await it.noted('message')
    await it.page.evaluate(() => globalThis.source.close())
    await until(() => seen.error && seen.aborted, 'the producer ends')
  })
})

test('Q12 an error of start is logged, the hook runs, and the stream is cut', async (t) => {
  const log = t.mock.method(console, 'error', () => {})
  for (const start of [
    () => {
      throw new Error('of start')
    },
    async () => {
      throw new Error('of start')
    },
  ]) {
    let stops = 0
    await serving(
      (produce) => produce(start, { stop: () => void stops++ }),
      async (server) => {
        await watch(server.url)
        // Not an end, which would be taken for that of all events.
        const [error] = await it.noted('error')
        assert.equal(error.error.code, 'read')
        assert.equal(stops, 1)
        await it.page.evaluate(() => globalThis.source.close())
      },
    )
  }
  const texts = log.mock.calls.flatMap(({ arguments: logged }) => logged.map((each) => String(each?.message ?? each)))
  const logged = texts.filter((text) => text.includes('of start'))
  assert.equal(logged.length, 2)
})

test('Q13 nothing is produced before somebody reads', async () => {
  const { produce } = await import('../../dist/index.js')
  const start = mock.fn()
  const response = produce(start)
  await new Promise((turn) => setImmediate(turn))
  assert.equal(start.mock.callCount(), 0)
  const reader = response.body.getReader()
  void reader.read()
  await until(() => start.mock.callCount() === 1, 'start runs')
  await reader.cancel()
})

test('Q14 a ping is an event without an id; a comment by choice; or none', async () => {
  await serving(
    (produce) => produce(({ emit }) => void emit('x', 'one'), { ping: 20, idsFrom: 1 }),
    async (server) => {
      await loadNotes(it.page)
      await it.page.evaluate((url) => {
        const events = new EventSource(url)
        for (const name of ['x', 'ping']) {
          events.addEventListener(name, ({ type, data, lastEventId }) => note('event', [type, data, lastEventId]))
        }
      }, server.url)
      const events = await it.noted('event', 3)
      assert.deepEqual(events.slice(0, 3), [['x', 'one', '1'], ['ping', '', '1'], ['ping', '', '1']])
    },
  )
})

test('a finished stream keeps browsers away: EventSource and source ask once more, are answered 204, and stay away', async () => {
  const { sample } = await import('../support/samples.mjs')
  const text = sample('finish').replace("'ssekit'", JSON.stringify(new URL('../../dist/index.js', import.meta.url).href))
  const { GET } = await import(`data:text/javascript,${encodeURIComponent(text)}`)
  const asked = []
  const answer = (_produce, request) => {
    const response = GET({ request })
    asked.push(response.status)
    return response
  }
  await serving(answer, async (server) => {
    await it.page.evaluate((url) => {
      const events = new EventSource(url)
      events.addEventListener('progress', ({ data, lastEventId }) => note('event', [data, lastEventId]))
      events.onerror = () => events.readyState === EventSource.CLOSED && note('gone', '')
    }, server.url)
    await it.noted('gone')
    assert.deepEqual(await notesOf(it.page, 'event'), [['1 of 3', '1'], ['2 of 3', '2'], ['3 of 3', '3']])
    assert.deepEqual(asked, [200, 204])
    await watch(server.url, { method: 'GET', reconnect: { minDelay: 1, delay: 1 } })
    const [close] = await it.noted('close')
    assert.equal(close.reason, 'no-content')
    assert.deepEqual(asked, [200, 204, 200, 204])
  })
})

test('Q19 headers replace ours in any case, but for the type; none is there that HTTP/2 forbids', async () => {
  const { produce } = await import('../../dist/index.js')
  const headersOf = (headers) => {
    const response = produce(() => {}, { headers })
    void response.body.cancel()
    return Object.fromEntries(response.headers)
  }
  assert.deepEqual(headersOf(undefined), {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
  })
  const own = { 'Cache-Control': 'no-cache', 'X-Of': 'the test', 'Content-Type': 'text/plain', Connection: 'keep-alive' }
  assert.deepEqual(headersOf(own), {
    // Clients of `sveltekit-sse` take no other.
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
    'x-of': 'the test',
  })
})

test('a page with the client of the original reads it: ids, pings, the end', async () => {
  const client = await bundleOriginalClient()
  const answer = (produce) =>
    produce(
      ({ emit, lock }) => {
        emit('greeting', 'hello')
        setTimeout(() => (emit('greeting', 'two\nlines'), lock.set(false)), 100)
      },
      { ping: 30, idsFrom: 1 },
    )
  await serving(answer, async (server) => {
    await it.page.evaluate(
      async ({ client, url }) => {
        const { source } = await import(client)
        source(url, {
          close: ({ isLocal }) => note('close', isLocal),
          options: { onmessage: ({ id, event, data }) => note('event', [id, event, data]) },
        })
          .select('greeting')
          .subscribe((value) => note('value', value))
      },
      { client, url: server.url },
    )
    assert.deepEqual(await it.noted('close'), [false])
    const events = await notesOf(it.page, 'event')
    assert.deepEqual(events.filter(([, name]) => name !== 'ping'), [['1', 'greeting', 'hello'], ['2', 'greeting', 'two\nlines']])
    assert.ok(events.some(([id, name]) => name === 'ping' && id === ''))
    assert.ok(!events.some(([, name]) => name === ''), 'a block without data reached the page')
    assert.deepEqual(await notesOf(it.page, 'value'), ['', 'hello', 'two\nlines'])
  })
})
