// The Rust client, compiled to WebAssembly, as the module of a page (`tests/browser`).
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { blankPageOf, inChromium, loadNotes, noted, notesOf } from '../support/browser.mjs'
import { startDevTools } from '../support/devtools.mjs'
import { cache, cacheUrl } from '../support/paths.mjs'
import { BLANK, begin, ending, event, refusing, streaming } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium({ fixture: true })
const MODULE = 'rust-client/ssekit_browser_page.js'

before(() => {
  const built = join(cache, MODULE)
  assert.ok(existsSync(built), `there is no ${built}: \`cargo xtask pages\` builds it`)
})

/** Opens a reader in the page, whose notes are those of `Reader::open`; it is `reader` there. */
async function read(url, options = {}, page = it.page) {
  if (!(await page.evaluate(() => 'notes' in globalThis))) await loadNotes(page)
  await page.evaluate(
    async ({ module, url, options }) => {
      const { default: start, Reader } = await import(module)
      await start()
      globalThis.reader = new Reader(url, JSON.stringify(options), (kind, value) => note(kind, JSON.parse(value)))
    },
    { module: `${cacheUrl}/${MODULE}`, url, options },
  )
  return page
}

const run = (script, argument, page = it.page) => page.evaluate(script, argument)
const events = (count, page) => it.noted('event', count, page)
const statuses = async (page = it.page) => notesOf(page, 'status')

test('every event of a Rust server, in order, as JSON; invalid JSON is an error in its place', async () => {
  const page = await read('/json', { event: 'stats' }, await it.fixturePage())
  const seen = await events(5, page)
  assert.deepEqual(seen.map((stats) => stats.sequence), [1, 2, undefined, 4, 5])
  assert.equal(typeof seen[2], 'string')
  assert.equal(await run(() => globalThis.reader.lastEventId, undefined, page), '5')
  assert.deepEqual(await noted(page, 'open'), [[200, `${it.fixture.url}/json`]])
  assert.deepEqual(await statuses(page), ['idle', 'connecting', 'open'])
})

test('a URL may be relative to the page', async () => {
  it.site.on('/deep/events', streaming({ data: '1' }))
  it.site.page('/deep/page', BLANK)
  await read('events', {}, await it.newPage(`${it.site.url}/deep/page`))
  await until(() => it.site.asked('/deep/events').length === 1, 'the request')
})

test('POST with a body and headers; only these are sent', async () => {
  it.site.on('/post', streaming({ data: '1' }))
  const headers = { authorization: 'Bearer ü', 'content-type': 'application/json' }
  await read('/post', { headers, body: '{"a":"ä"}' })
  await events(1)
  const [asked] = it.site.asked('/post')
  assert.equal(asked.method, 'POST')
  assert.equal(asked.body, '{"a":"ä"}')
  assert.equal(Buffer.from(asked.headers.authorization, 'latin1').toString(), 'Bearer ü')
  assert.equal(asked.headers['content-type'], 'application/json')
  assert.equal(asked.headers.accept, 'text/event-stream')
  assert.equal(asked.headers['last-event-id'], undefined)
})

test('a request that a browser never sends is a final error that says so', async () => {
  await read('/never', { method: 'GET', body: 'text' })
  assert.match((await it.noted('close'))[0], /the method GET cannot be sent: browsers do not send a body with it/)
})

test('it resumes after a reset, and after an end', async () => {
  let stream
  const first = (_request, response) => {
    begin(response)
    response.write(event({ id: 'ä1', data: '1' }))
    stream = response
  }
  it.site.on('/resumed', first, ending({ id: '2', data: '2' }), streaming({ data: '3' }))
  await read('/resumed', { delay: 20 })
  await events(1)
  stream.socket.resetAndDestroy()
  assert.deepEqual(await events(3), [1, 2, 3])
  const ids = it.site.asked('/resumed').map(({ headers }) => headers['last-event-id'])
  assert.equal(Buffer.from(ids[1], 'latin1').toString(), 'ä1')
  assert.deepEqual([ids[0], ids[2]], [undefined, '2'])
  const errors = await notesOf(it.page, 'error')
  assert.match(errors[0], /^the event stream was interrupted: reading: /)
  assert.equal(errors[1], 'the server ended the event stream')
  assert.deepEqual(await statuses(), ['idle', 'connecting', 'open', 'waiting', 'connecting', 'open', 'waiting', 'connecting', 'open'])
})

test('no connection and 503 are retried; 204 is the end', async () => {
  const cut = (_request, response) => response.socket.resetAndDestroy()
  // What is cut before an answer on a connection that was used before is sent again by the browser itself.
  it.site.on('/ill', refusing(503, { 'retry-after': '0' }, 'not yet'), cut, cut, cut, refusing(204))
  await read('/ill', { delay: 20 })
  assert.equal((await it.noted('close'))[0], 'the server has nothing to send (204 No Content)')
  const errors = await notesOf(it.page, 'error')
  assert.match(errors[0], /^the server answered 503 Service Unavailable: not yet/)
  assert.match(errors[1], /^cannot reach http.*\/ill: fetch: Failed to fetch/)
  await it.noted('end')
})

test('a redirect is followed, and its URL reported', async () => {
  it.site.on('/moved', refusing(307, { location: '/arrived' }))
  it.site.on('/arrived', streaming({ data: '1' }))
  await read('/moved')
  await events(1)
  assert.deepEqual(await it.noted('open'), [[200, `${it.site.url}/arrived`]])
})

test('an event stream that the browser decompresses is accepted', async () => {
  it.site.on('/gzip', (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' })
    response.end(gzipSync(event({ data: '1' })))
  })
  await read('/gzip', { neverRetry: true })
  assert.deepEqual(await events(1), [1])
  assert.equal((await it.noted('close'))[0], 'the server ended the event stream')
})

test('another origin: without a preflight, with cookies if they are asked for', async () => {
  await it.context.addCookies([{ name: 'who', value: 'ada', url: it.fixture.url }])
  await read(`${it.fixture.url}/cors`)
  await events(1)
  await run(() => globalThis.reader.free())
  await read(`${it.fixture.url}/cors`, { withCredentials: true })
  await it.noted('open', 2)
  const asked = await it.fixture.requests('/cors')
  const cookies = asked.slice(-2).map(({ method, headers }) => [method, headers.cookie])
  assert.deepEqual(cookies, [['GET', undefined], ['GET', 'who=ada']])
})

test('the last leave aborts the request; so does a close, after which it can be opened again', async () => {
  it.site.on('/left', streaming({ id: 1, data: '1' }))
  await read('/left')
  await events(1)
  await run(() => globalThis.reader.close())
  assert.equal((await it.noted('close'))[0], 'closed by this client')
  await until(() => it.site.asked('/left')[0].gone, 'the request is aborted')
  await run(() => globalThis.reader.connect())
  await until(() => it.site.asked('/left').length === 2, 'another request')
  assert.equal(it.site.asked('/left')[1].headers['last-event-id'], '1')
  await it.noted('open', 2)
  await run(() => globalThis.reader.free())
  await until(() => it.site.asked('/left')[1].gone, 'the request is aborted')
  assert.equal((await it.noted('close', 2))[1], 'the last subscriber left')
})

test('a silent stream is taken for dead after the read timeout', async () => {
  it.site.on('/silent', streaming({ data: '1' }))
  await read('/silent', { readTimeout: 150, delay: 20 })
  assert.deepEqual(await events(3), [1, 1, 1])
  assert.equal((await notesOf(it.page, 'error'))[0], 'nothing was received for 150ms')
  await until(() => it.site.asked('/silent')[0].gone, 'the dead connection is closed')
})

test('pause_when_hidden: no connection while the page is hidden; without it nothing changes', async () => {
  const show = (visible) =>
    run((state) => {
      Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state })
      document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))
    }, visible ? 'visible' : 'hidden')
  it.site.on('/hidden', streaming({ id: 1, data: '1' }), streaming({ id: 2, data: '2' }))
  it.site.on('/kept', streaming({ id: 1, data: '1' }))
  await read('/kept')
  await read('/hidden', { pauseWhenHidden: true })
  await events(2)
  await show(false)
  await until(() => it.site.asked('/hidden')[0].gone, 'a hidden page has no connection')
  assert.equal((await statuses()).at(-1), 'paused')
  await show(true)
  await events(3)
  assert.equal(it.site.asked('/hidden')[1].headers['last-event-id'], '1')
  assert.deepEqual(it.site.asked('/kept').map(({ gone }) => gone), [false])
  assert.deepEqual(await notesOf(it.page, 'error'), [])
})

test('offline: it waits at its slowest pace, and returns at once when there is a network', async () => {
  let stream
  const first = (_request, response) => {
    begin(response)
    response.write(event({ id: 1, data: '1' }))
    stream = response
  }
  it.site.on('/network', first, streaming({ id: 2, data: '2' }))
  it.site.page('/page', BLANK)
  // Loopback needs no network; this host is none.
  const page = await it.newPage(`http://ssekit.test:${it.site.port}/page`)
  // Were it to wait for its delay, it would be too late.
  await read('/network', { delay: 600_000 }, page)
  await events(1, page)
  await it.context.setOffline(true)
  stream.socket.resetAndDestroy()
  await until(async () => (await statuses(page)).at(-1) === 'waiting', 'it waits')
  await it.context.setOffline(false)
  assert.deepEqual(await events(2, page), [1, 2])
})

test('offline: a server that can be reached all the same is found again', async () => {
  it.site.on('/lan', ending({ id: 1, data: '1' }), streaming({ id: 2, data: '2' }))
  it.site.page('/page', BLANK)
  // Loopback needs no network; this host is none.
  const page = await it.newPage(`http://ssekit.test:${it.site.port}/page`)
  await page.evaluate(() => {
    Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => false })
    window.dispatchEvent(new Event('offline'))
  })
  await read('/lan', { delay: 200 }, page)
  assert.deepEqual(await events(2, page), [1, 2])
})

test('a page that is shown after a silent minute opens its stream again', async () => {
  it.site.on('/slept', streaming({ id: 1, data: '1' }), streaming({ id: 2, data: '2' }))
  await read('/slept')
  await events(1)
  const show = () => run(() => document.dispatchEvent(new Event('visibilitychange', { bubbles: true })))
  await show()
  await run(() => {
    const now = Date.now
    Date.now = () => now() + 61_000
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))
  })
  assert.deepEqual(await events(2), [1, 2])
  assert.equal(it.site.asked('/slept').length, 2)
  assert.equal(it.site.asked('/slept')[1].headers['last-event-id'], '1')
  assert.deepEqual(await notesOf(it.page, 'error'), [])
})

test('offline: a connection to this very machine does not care', async () => {
  it.site.on('/here', ending({ data: '1' }), streaming({ data: '2' }))
  await read('/here', { delay: 300 })
  await events(1)
  await run(() => {
    Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => false })
    window.dispatchEvent(new Event('offline'))
  })
  assert.deepEqual(await events(2), [1, 2])
})

test('a page that was frozen goes on where it was; the time that it stood still does not count', async () => {
  const browser = await startDevTools()
  try {
    const silence = 3000
    const page = await browser.open(blankPageOf(it.fixture))
    await run(() => document.addEventListener('resume', () => note('resume', '')), undefined, page)
    await read('/channel', { event: 'news', readTimeout: silence, delay: 20 }, page)
    await noted(page, 'open')
    await it.fixture.publish('news', '1')
    await events(1, page)
    // It is due right after the one that watches for silence.
    await page.evaluate((silence) => void setTimeout(() => note('due', ''), silence), silence)
    await page.freeze()
    // What comes meanwhile is what a browser loses.
    await it.fixture.publish('news', '2')
    const frozen = performance.now()
    await until(() => performance.now() - frozen > silence * 1.5, 'it stands still for longer than the read timeout')
    await page.thaw()
    await noted(page, 'resume')
    await noted(page, 'due')
    await it.fixture.publish('news', '3')
    assert.deepEqual(await events(3, page), [1, 2, 3])
    assert.deepEqual(await notesOf(page, 'error'), [])
  } finally {
    await browser.close()
  }
})

test('its event listeners in a page are removed with it', async () => {
  const page = await it.fixturePage()
  await page.evaluate(() => {
    globalThis.listening = 0
    const { addEventListener, removeEventListener } = EventTarget.prototype
    const pageEvents = ['online', 'offline', 'visibilitychange', 'freeze', 'resume', 'pagehide', 'pageshow']
    EventTarget.prototype.addEventListener = function (name, ...rest) {
      if (pageEvents.includes(name)) globalThis.listening++
      return addEventListener.call(this, name, ...rest)
    }
    EventTarget.prototype.removeEventListener = function (name, ...rest) {
      if (pageEvents.includes(name)) globalThis.listening--
      return removeEventListener.call(this, name, ...rest)
    }
  })
  await read('/clock?every=20', {}, page)
  await events(1, page)
  assert.ok((await run(() => globalThis.listening, undefined, page)) >= 3)
  await run(() => globalThis.reader.free(), undefined, page)
  await it.fixture.untilOpen(0)
  assert.equal(await run(() => globalThis.listening, undefined, page), 0)
})

test('in a worker', async () => {
  const page = await it.fixturePage()
  await loadNotes(page)
  await page.evaluate((module) => {
    const script = `
      import start, { Reader } from '${location.origin}${module}'
      await start()
      const reader = new Reader('${location.origin}/clock?every=20', '{}', (kind, value) => postMessage([kind, JSON.parse(value)]))
      onmessage = () => reader.free()
    `
    globalThis.worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })), { type: 'module' })
    worker.onmessage = ({ data: [kind, value] }) => note(kind, value)
    worker.onerror = ({ message }) => note('failed', message)
  }, `${cacheUrl}/${MODULE}`)
  await events(3, page)
  await page.evaluate(() => worker.postMessage('leave'))
  await noted(page, 'close')
  await it.fixture.untilOpen(0)
})

test('a stream that always has more leaves the page its turns', async () => {
  await loadNotes(it.page)
  await run(() => {
    const chunk = new TextEncoder().encode('data: 1\n\n'.repeat(100))
    const endless = () => {
      const start = performance.now()
      setTimeout(() => note('turn', ''))
      const pull = (stream) => (performance.now() - start < 500 ? stream.enqueue(chunk) : stream.close())
      const headers = { 'content-type': 'text/event-stream' }
      return new Response(new ReadableStream({ pull }), { headers })
    }
    const { fetch } = globalThis
    globalThis.fetch = async (what, ...options) => (what.url?.endsWith('/endless') ? endless() : fetch(what, ...options))
  })
  await read('/endless', { neverRetry: true })
  await it.noted('close')
  const kinds = (await notesOf(it.page)).map(([kind]) => kind)
  const turn = kinds.indexOf('turn')
  assert.ok(turn >= 0 && turn < kinds.lastIndexOf('event'), 'the page had a turn only after all events')
})

test('a server that is killed and started again', async () => {
  const { startFixture } = await import('../support/fixture.mjs')
  const server = await startFixture()
  try {
    const page = await read('/clock?every=20', { delay: 20 }, await it.newPage(blankPageOf(server)))
    await events(3, page)
    await server.kill()
    await noted(page, 'error', 2)
    await server.start()
    await noted(page, 'open', 2)
    assert.equal((await notesOf(page, 'close')).length, 0)
  } finally {
    await server.stop()
  }
})
