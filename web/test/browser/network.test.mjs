// What networks and servers do to a stream, through real sockets: nothing is lost, nothing comes twice, and it is told.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { constants, createGzip } from 'node:zlib'
import { blankPageOf, inChromium, loadPackage, noted, notesOf } from '../support/browser.mjs'
import { startFixture } from '../support/fixture.mjs'
import { begin, BLANK, ending, event, inPieces, refusing, reset, startSite, streaming } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()
const FAST = { delay: 20, minDelay: 1, jitter: false }
const run = (script, argument, page = it.page) => page.evaluate(script, argument)

async function watch(from, options = {}, page = it.page) {
  await loadPackage(page)
  await run(([from, options]) => void watch(from, options), [from, options], page)
}

const errorCodes = async () => (await notesOf(it.page, 'error')).map(({ error }) => error.code)

test('a server that is killed and started again: stores and iterators lose nothing, and nothing comes twice', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ssekit-'))
  const server = await startFixture({ log: join(folder, 'log') })
  try {
    const page = await it.newPage(blankPageOf(server))
    await watch('/channel?all=true', { select: ['news'], reconnect: FAST, method: 'GET' }, page)
    await run(
      () =>
        void (async () => {
          const reconnect = { delay: 20, minDelay: 1, jitter: false }
          const source = ssekit.source('/channel?all=true', { reconnect, method: 'GET' })
          for await (const { data } of source) note('read', data)
        })(),
      undefined,
      page,
    )
    const expected = []
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 20; i++) {
        expected.push(`${expected.length + 1}`)
        await server.publish('news', expected.length)
      }
      await until(async () => (await notesOf(page, 'message')).at(-1)?.[2] === `${expected.length}`, 'the events of a round')
      if (round < 2) {
        await server.kill()
        await until(async () => (await notesOf(page, 'error')).length > round, 'an error is told')
        await server.start()
      }
    }
    await noted(page, 'read', expected.length)
    assert.deepEqual((await notesOf(page, 'message')).map(([, , data]) => data), expected)
    assert.deepEqual((await notesOf(page, 'value')).map(([, value]) => value), ['', ...expected])
    assert.deepEqual(await notesOf(page, 'read'), expected)
    assert.equal((await notesOf(page, 'close')).length, 0)
  } finally {
    await server.stop()
    await rm(folder, { recursive: true })
  }
})

test('a server that shuts down tells its clients to return, and they do', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ssekit-'))
  const server = await startFixture({ log: join(folder, 'log') })
  try {
    const page = await it.newPage(blankPageOf(server))
    await page.clock.install()
    await watch('/channel', { select: ['news'] }, page)
    await server.untilOpen(1)
    await server.publish('news', 'before')
    await noted(page, 'message', 1)
    await server.stop()
    await until(async () => (await notesOf(page, 'state')).at(-1) === 'waiting', 'it waits to return')
    await server.start()
    await server.publish('news', 'between')
    await until(async () => {
      await page.clock.runFor(1000)
      return (await notesOf(page, 'message')).length === 2
    }, 'the event that was published meanwhile')
    assert.deepEqual((await notesOf(page, 'message')).map(([, , data]) => data), ['before', 'between'])
    assert.equal((await notesOf(page, 'close')).length, 0)
  } finally {
    await server.stop()
    await rm(folder, { recursive: true })
  }
})

test('a connection that is reset in the middle of an event: the half is dropped, and the whole comes once', async () => {
  const half = async (_request, response) => {
    begin(response)
    response.write(event({ id: 1, data: 'one' }) + 'id: 2\ndata: tw')
    await until(async () => (await notesOf(it.page, 'message')).length === 1, 'the first event has arrived')
    await reset(response)
  }
  it.site.on('/half', half, streaming({ id: 2, data: 'two' }))
  await watch('/half', { reconnect: FAST })
  assert.deepEqual(await it.noted('message', 2), [['1', 'message', 'one'], ['2', 'message', 'two']])
  assert.deepEqual(await errorCodes(), ['read'])
  assert.equal(it.site.asked('/half')[1].headers['last-event-id'], '1')
})

test('a stream that says nothing for the read timeout is taken for dead, and goes on elsewhere', async () => {
  it.site.on('/stalled', streaming({ id: 1, data: 'one' }), streaming({ id: 2, data: 'two' }))
  await watch('/stalled', { reconnect: FAST, readTimeout: 300 })
  await it.noted('message', 2)
  assert.equal((await errorCodes())[0], 'read-timeout')
  await until(() => it.site.asked('/stalled')[0].gone, 'the dead connection is closed')
  assert.equal(it.site.asked('/stalled')[1].headers['last-event-id'], '1')
})

test('a comment is a sign of life to the read timeout', async () => {
  let response
  it.site.on('/alive', (_request, answer) => begin((response = answer)))
  await it.page.clock.install()
  await watch('/alive', { readTimeout: 10_000 })
  await it.noted('open')
  for (let beat = 0; beat < 5; beat++) {
    await it.page.clock.runFor(9_000)
    const heard = `${beat}`
    response.write(`:\ndata: ${heard}\n\n`)
    await until(async () => (await notesOf(it.page, 'message')).at(-1)?.[2] === heard, 'a sign of life')
  }
  assert.deepEqual(await errorCodes(), [])
  await it.page.clock.runFor(10_100)
  await it.noted('error')
  assert.deepEqual(await errorCodes(), ['read-timeout'])
})

test('a server that does not answer is given up after the connect timeout, and asked again', async () => {
  it.site.on('/mute', () => {}, streaming({ data: 'one' }))
  await watch('/mute', { reconnect: FAST, connectTimeout: 200 })
  await it.noted('message')
  assert.equal((await errorCodes())[0], 'connect-timeout')
  await until(() => it.site.asked('/mute')[0].gone, 'the mute connection is closed')
})

test('offline and back: it waits longer while there is no network, and returns at once', async () => {
  let stream
  const first = (_request, response) => {
    begin(response)
    response.write(event({ id: 1, data: 'one' }))
    stream = response
  }
  it.site.on('/network', first, streaming({ id: 2, data: 'two' }))
  it.site.page('/page', BLANK)
  // Loopback needs no network; this host is none.
  const page = await it.newPage(`http://ssekit.test:${it.site.port}/page`)
  // Were it to wait for its delay, it would be too late.
  await watch('/network', { reconnect: { delay: 600_000, minDelay: 600_000, maxDelay: 600_000 } }, page)
  await noted(page, 'message')
  await it.context.setOffline(true)
  // The browser's emulation leaves open connections as they are, a real network does not.
  stream.socket.resetAndDestroy()
  await until(async () => (await notesOf(page, 'state')).at(-1) === 'waiting', 'it waits for the network')
  assert.equal(it.site.asked('/network').length, 1)
  await it.context.setOffline(false)
  assert.deepEqual(await noted(page, 'message', 2), [['1', 'message', 'one'], ['2', 'message', 'two']])
  assert.equal(it.site.asked('/network')[1].headers['last-event-id'], '1')
  assert.equal((await notesOf(page, 'close')).length, 0)
})

test('a device that says it is offline reaches a server in its network: the stream goes on', async () => {
  const cut = async (_request, response) => {
    begin(response)
    response.write(event({ id: 1, data: 'one' }))
    await until(async () => (await notesOf(page, 'message')).length === 1, 'the event has arrived')
    await reset(response)
  }
  it.site.on('/lan', cut, streaming({ id: 2, data: 'two' }))
  it.site.page('/page', BLANK)
  const page = await it.newPage(`http://ssekit.test:${it.site.port}/page`)
  await page.evaluate(() => Object.defineProperty(navigator, 'onLine', { get: () => false }))
  await watch('/lan', { reconnect: { delay: 20, minDelay: 1, maxDelay: 200 } }, page)
  assert.deepEqual(await noted(page, 'message', 2), [['1', 'message', 'one'], ['2', 'message', 'two']])
  assert.equal(it.site.asked('/lan')[1].headers['last-event-id'], '1')
})

test('a POST with a body that may have had an effect is sent once; one that was refused unsent goes on', async () => {
  it.site.on('/order', async (_request, response) => {
    begin(response)
    response.write(event({ data: 'taken' }))
    await until(async () => (await notesOf(it.page, 'message')).length === 1, 'the event has arrived')
    await reset(response)
  })
  await watch('/order', { body: 'an order', reconnect: FAST })
  const [close] = await it.noted('close')
  assert.deepEqual([close.reason, close.error.code], ['not-repeated', 'read'])
  assert.equal(it.site.asked('/order').length, 1)
  // After an id it can resume.
  const broken = async (_request, response) => {
    begin(response)
    response.write(event({ id: 1, data: 'one' }))
    await until(async () => (await notesOf(it.page, 'message')).length === 1, 'the event has arrived')
    await reset(response)
  }
  it.site.on('/resumed', broken, streaming({ id: 2, data: 'two' }))
  await watch('/resumed', { body: 'an order', reconnect: FAST })
  await it.noted('message', 2)
  assert.deepEqual(it.site.asked('/resumed').map(({ headers }) => headers['last-event-id']), [undefined, '1'])
})

test('a page that is opened offline connects when there is a network', async () => {
  it.site.on('/later', streaming({ id: 1, data: 'one' }))
  it.site.page('/page', BLANK)
  const page = await it.newPage(`http://ssekit.test:${it.site.port}/page`)
  await loadPackage(page)
  await run(() => void watch('/later', { share: false }), undefined, page)
  await noted(page, 'message')
  await run(() => globalThis.source.close(), undefined, page)
  await it.context.setOffline(true)
  await until(() => run(() => !navigator.onLine, undefined, page), 'the page is offline')
  await run(() => void watch('/later', { reconnect: { delay: 600_000, minDelay: 600_000, maxDelay: 600_000 } }), undefined, page)
  await until(async () => (await notesOf(page, 'state')).at(-1) === 'waiting', 'it waits for the network')
  await it.context.setOffline(false)
  await noted(page, 'message', 2)
  assert.equal(it.site.asked('/later').length, 2)
})

test('500 and 503, then 200: errors have their status, and the stream opens', async () => {
  it.site.on('/ill', refusing(500, {}, 'on fire'), refusing(503), streaming({ data: 'one' }))
  await watch('/ill', { reconnect: FAST })
  await it.noted('message')
  const errors = (await notesOf(it.page, 'error')).map(({ status, error }) => [status, error.code, error.body])
  assert.deepEqual(errors[0], [500, 'status', 'on fire'])
  assert.equal(errors[1][0], 503)
  assert.equal(it.site.asked('/ill').length, 3)
})

test('429 with Retry-After: it returns then, not earlier', async () => {
  it.site.on('/busy', refusing(429, { 'retry-after': '30' }), streaming({ data: 'one' }))
  await it.page.clock.install()
  await watch('/busy', { reconnect: FAST })
  await until(async () => (await notesOf(it.page, 'state')).at(-1) === 'waiting', 'it waits')
  const left = await run(() => globalThis.source.status.get().until - Date.now())
  assert.ok(left > 25_000 && left <= 30_500, `${left} ms`)
  const [error] = await notesOf(it.page, 'error')
  assert.equal(error.error.code, 'status')
  await it.page.clock.runFor(20_000)
  await run(() => fetch('/blank').then(() => {}))
  assert.equal(it.site.asked('/busy').length, 1)
  await it.page.clock.runFor(11_000)
  await it.noted('message')
})

test('delays grow, and after the last retry it gives up, once', async () => {
  it.site.on('/hopeless', refusing(500))
  await it.page.clock.install()
  const reconnect = { delay: 1000, maxDelay: 60_000, maxRetries: 4, jitter: false }
  await watch('/hopeless', { reconnect })
  const waits = []
  for (let retry = 1; retry <= 4; retry++) {
    await until(
      async () => it.site.asked('/hopeless').length === retry && (await notesOf(it.page, 'state')).at(-1) === 'waiting',
      `it waits for retry ${retry}`,
    )
    const wait = await run(() => globalThis.source.status.get().until - Date.now())
    waits.push(wait)
    await it.page.clock.runFor(Math.max(wait, 0) + 100)
  }
  const [close] = await it.noted('close')
  assert.deepEqual([close.reason, close.isLocal, close.status], ['gave-up', false, 500])
  assert.ok(waits.every((wait, index) => index === 0 || wait > waits[index - 1] * 1.5), `${waits}`)
  await it.page.clock.runFor(3_600_000)
  await run(() => fetch('/blank').then(() => {}))
  assert.equal(it.site.asked('/hopeless').length, 5)
})

test('a first connection that is refused is an error, and is tried until the server is there', async () => {
  const server = await startSite()
  const allowed = { 'access-control-allow-origin': '*' }
  const url = server.on('/late', (_request, response) => {
    begin(response, allowed)
    response.write(event({ data: 'one' }))
  })
  await server.stop()
  try {
    await watch(url, { reconnect: FAST })
    const [error] = await it.noted('error')
    assert.deepEqual([error.error.code, error.status], ['connect', 0])
    await server.start()
    assert.deepEqual(await it.noted('message'), [['', 'message', 'one']])
  } finally {
    await server.stop()
  }
})

test('an answer that its server does not allow this page to read is an error of the connection', async () => {
  const other = await startSite()
  try {
    const url = other.on('/foreign', streaming({ data: 'secret' }))
    await watch(url, { reconnect: 'never' })
    const [close] = await it.noted('close')
    assert.deepEqual([close.reason, close.status], ['failed', 0])
    assert.equal((await errorCodes())[0], 'connect')
    assert.deepEqual(await notesOf(it.page, 'message'), [])
  } finally {
    await other.stop()
  }
})

test('another origin is asked whether it allows Last-Event-ID, and then resumes', async () => {
  const other = await startSite()
  const allowed = { 'access-control-allow-origin': '*', 'access-control-allow-headers': 'last-event-id' }
  try {
    let streams = 0
    const url = other.on('/preflight', async (request, response) => {
      if (request.method === 'OPTIONS') return response.writeHead(204, allowed).end()
      begin(response, allowed)
      response.write(event({ retry: 20, id: ++streams, data: `stream ${streams}` }))
      if (streams === 1) response.end()
    })
    await watch(url, { reconnect: { minDelay: 1 } })
    await it.noted('message', 2)
    const asked = other.asked('/preflight')
    assert.deepEqual(asked.map(({ method }) => method), ['POST', 'OPTIONS', 'POST'])
    assert.equal(asked[1].headers['access-control-request-headers'], 'last-event-id')
    assert.equal(asked[2].headers['last-event-id'], '1')
  } finally {
    await other.stop()
  }
})

test('bytes that come one by one give the same events', async () => {
  const events = [{ id: 'ü', event: 'x', data: 'zwölf\n🎈 Boxkämpfer' }, { data: '' }, { event: 'y', data: '\n' }]
  it.site.on('/bytes', async (_request, response) => {
    begin(response)
    await inPieces(response, '\ufeff' + events.map(event).join(': a comment\r\n'))
  })
  await watch('/bytes')
  const messages = [['ü', 'x', 'zwölf\n🎈 Boxkämpfer'], ['ü', 'message', ''], ['ü', 'y', '\n']]
  assert.deepEqual(await it.noted('message', 3), messages)
})

test('an event of several megabytes arrives whole; one beyond the limit is an error, and the next one comes', async () => {
  const large = 'ä🎈'.repeat(500_000)
  it.site.on('/large', streaming({ id: 1, data: large }))
  await loadPackage(it.page)
  const same = await run(async () => {
    for await (const { data } of ssekit.source('/large')) {
      return data.length === 1_500_000 && data === 'ä🎈'.repeat(500_000)
    }
  })
  assert.ok(same)
  it.site.on('/too-large', streaming({ id: 1, data: 'x'.repeat(2000) }, { id: 2, data: 'small' }))
  await run(() => void watch('/too-large', { maxEventBytes: 1000 }))
  assert.deepEqual(await it.noted('message'), [['2', 'message', 'small']])
  assert.deepEqual(await errorCodes(), ['too-large'])
})

test('a compressed stream is read as every other', async () => {
  it.site.on('/gzip', (_request, response) => {
    begin(response, { 'content-encoding': 'gzip' })
    const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH })
    gzip.pipe(response)
    gzip.write(event({ id: 1, data: 'one' }))
    gzip.write(event({ id: 2, data: 'two' }))
  })
  await watch('/gzip')
  assert.deepEqual(await it.noted('message', 2), [['1', 'message', 'one'], ['2', 'message', 'two']])
})

test('a redirect is followed', async () => {
  it.site.on('/old', refusing(307, { location: '/new' }))
  it.site.on('/new', streaming({ data: 'one' }))
  await watch('/old', { body: 'hello' })
  await it.noted('message')
  assert.deepEqual(it.site.asked('/new').map(({ method, body }) => [method, body]), [['POST', 'hello']])
})

test('reconnect: standard follows EventSource: an end is no end; never asks once', async () => {
  it.site.on('/standard', ending({ id: 1, data: 'one' }), ending({ id: 2, data: 'two' }))
  await watch('/standard', { reconnect: { preset: 'standard', delay: 20, minDelay: 1, jitter: false } })
  await it.noted('message', 2)
  await run(() => globalThis.source.close())
  it.site.on('/never', async (_request, response) => {
    begin(response)
    await reset(response)
  })
  await run(() => void watch('/never', { reconnect: 'never' }))
  await until(async () => (await notesOf(it.page, 'close')).at(-1).reason === 'failed', 'the end')
  assert.equal(it.site.asked('/never').length, 1)
})
