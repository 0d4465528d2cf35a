// One connection for all tabs of an origin (`tabs: true`): each tab gets every event once, whichever of them leads.
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { blankPageOf, inChromium, loadPackage, noted, notesOf, showPage } from '../support/browser.mjs'
import { heard, listen, numbersOf, publishing, sawAll, startChannel } from '../support/channel.mjs'
import { begin, event } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()
let channel
let server
beforeEach(async () => {
  channel = await startChannel()
  server = channel.server
})
afterEach(() => channel.stop())

/** As many tabs that listen to the channel, of which the first leads: it was there alone. */
async function tabs(count) {
  const pages = []
  while (pages.length < count) {
    const page = await it.newPage(blankPageOf(server))
    await listen(page, { tabs: true, key: 'news' })
    pages.push(page)
  }
  return pages
}

test('three tabs, one connection: each gets every event, and knows that it is open', async () => {
  const pages = await tabs(3)
  assert.deepEqual(await server.streams(), { open: 1, opened: 1 })
  for (let number = 1; number <= 20; number++) await server.publish('news', number)
  for (const page of pages) {
    await sawAll(page, 20, 1)
    assert.equal((await notesOf(page, 'state')).at(-1), 'open')
  }
})

test('eight tabs leave connections for other requests, which HTTP/1.1 limits to six', async () => {
  const pages = await tabs(8)
  assert.equal((await server.streams()).open, 1)
  await server.publish('news', 1)
  for (const page of pages) {
    await sawAll(page, 1, 1)
    assert.equal(await page.evaluate(() => fetch('/test/support/blank.html').then(({ status }) => status)), 200)
  }
})

test('the leading tab is closed while events come: the others miss none and get none twice', async () => {
  const [leader, ...rest] = await tabs(3)
  const publisher = publishing(server)
  await publisher.more(30)
  await heard([leader, ...rest])
  await leader.close()
  await publisher.more(30)
  const last = await publisher.stop()
  for (const page of rest) await sawAll(page, last, 1)
  await server.untilOpen(1)
})

test('tab after tab is closed while events come, and the last one has seen everything', async () => {
  const pages = await tabs(4)
  const publisher = publishing(server)
  await heard(pages)
  while (pages.length > 1) {
    await publisher.more(20)
    await pages.shift().close()
  }
  await publisher.more(20)
  const last = await publisher.stop()
  await sawAll(pages[0], last, 1)
})

test('the leading tab is reloaded while events come: the others miss none, and it is back', async () => {
  const [leader, ...rest] = await tabs(3)
  const publisher = publishing(server)
  await publisher.more(30)
  await heard([leader, ...rest])
  await leader.reload()
  await listen(leader, { tabs: true, key: 'news' })
  await publisher.more(30)
  const last = await publisher.stop()
  for (const page of rest) await sawAll(page, last, 1)
  await sawAll(leader, last)
  await server.untilOpen(1)
})

test('the server is killed and started again: no tab misses an event or gets one twice', async () => {
  const pages = await tabs(3)
  for (let number = 1; number <= 10; number++) await server.publish('news', number)
  for (const page of pages) await sawAll(page, 10, 1)
  await server.kill()
  for (const page of pages) await noted(page, 'error')
  await server.start()
  for (let number = 11; number <= 20; number++) await server.publish('news', number)
  for (const page of pages) {
    await sawAll(page, 20, 1)
    assert.equal((await notesOf(page, 'close')).length, 0)
    assert.deepEqual((await noted(page, 'open')).at(-1), { isLocal: false, status: 200, statusText: 'OK' })
  }
})

test('a tab that closes its source leaves alone; when the last one has left, the connection is closed', async () => {
  const pages = await tabs(3)
  // From here on there is an id to resume after.
  await server.publish('news', 1)
  for (const page of pages) await sawAll(page, 1, 1)
  await pages[0].evaluate(() => globalThis.source.close())
  const [close] = await noted(pages[0], 'close')
  assert.deepEqual([close.isLocal, close.reason], [true, 'local'])
  await server.publish('news', 2)
  for (const page of pages.slice(1)) {
    await sawAll(page, 2, 1)
    assert.equal((await notesOf(page, 'close')).length, 0)
  }
  await pages[1].evaluate(() => globalThis.leave())
  await pages[2].evaluate(() => globalThis.leave())
  await server.untilOpen(0)
  assert.deepEqual(await numbersOf(pages[0]), [1])
})

test('the end of the stream calls the callbacks of every tab, once', async () => {
  const pages = []
  for (let count = 0; count < 3; count++) {
    const page = await it.newPage(blankPageOf(server))
    await loadPackage(page)
    pages.push(page)
  }
  // The server answers after a while, so that all are there.
  for (const page of pages) await page.evaluate(() => void watch('/lock', { tabs: true, key: 'news' }))
  for (const page of pages) {
    const closes = await noted(page, 'close')
    assert.deepEqual(closes.map(({ reason, isLocal }) => [reason, isLocal]), [['ended', false]])
  }
})

test('sources of other requests, and sources that are not for all tabs, have their own connection', async () => {
  const pages = await tabs(2)
  await pages[0].evaluate(() => void watch('/channel', { select: ['news'], method: 'GET' }))
  await pages[1].evaluate(() => void watch('/channel?all=true', { select: ['news'], method: 'GET', tabs: true, key: 'news' }))
  await server.untilOpen(3)
})

test('the leading tab crashes while events come: the others miss none and get none twice', async () => {
  const [leader, ...rest] = await tabs(3)
  const publisher = publishing(server)
  await publisher.more(20)
  await heard([leader, ...rest])
  const crashed = new Promise((done) => leader.once('crash', done))
  await Promise.all([crashed, leader.goto('chrome://crash').catch(() => {})])
  await publisher.more(20)
  const last = await publisher.stop()
  for (const page of rest) await sawAll(page, last, 1)
})

test('the leading tab is closed while the next one is busy: a tab ahead of the new leader gets nothing twice', async () => {
  const [leader, next, other] = await tabs(3)
  const publisher = publishing(server)
  await heard([leader, next, other])
  const busy = next.evaluate(() => {
    const end = performance.now() + 500
    while (performance.now() < end);
  })
  const ahead = (await numbersOf(other)).length
  await until(async () => (await numbersOf(other)).length > ahead + 5, 'events while the next tab is busy')
  await leader.close()
  await busy
  await publisher.more(20)
  const last = await publisher.stop()
  for (const page of [next, other]) await sawAll(page, last, 1)
})

test('openWhenHidden: false: a hidden tab hands over, misses nothing, and all hidden leave no connection', async () => {
  const options = { tabs: true, key: 'news', openWhenHidden: false }
  const pages = []
  while (pages.length < 2) {
    const page = await it.newPage(blankPageOf(server))
    await listen(page, options)
    pages.push(page)
  }
  const [leader, other] = pages
  const publisher = publishing(server)
  await publisher.more(20)
  await heard(pages)
  await showPage(leader, false)
  await until(async () => (await notesOf(leader, 'state')).at(-1) === 'paused', 'the hidden tab pauses')
  await publisher.more(20)
  await showPage(leader, true)
  await publisher.more(20)
  let last = await publisher.stop()
  for (const page of pages) await sawAll(page, last, 1)
  for (const page of pages) await showPage(page, false)
  await server.untilOpen(0)
  await server.publish('news', ++last)
  await showPage(other, true)
  await sawAll(other, last, 1)
  await showPage(leader, true)
  await sawAll(leader, last, 1)
  await server.untilOpen(1)
})

test('tabs come, go, are reloaded and crash as it happens, the server too: whoever stays misses nothing', async (t) => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.diagnostic(`SEED=${seed}`)
  const random = randomFrom(seed)
  const pages = await tabs(3)
  let publisher = publishing(server)
  await heard(pages)
  const steps = {
    open: async () => pages.push(...(await tabs(1))),
    close: async (at) => pages.length > 1 && (await pages.splice(at, 1)[0].close()),
    'close two': async () => pages.length > 2 && (await Promise.all(pages.splice(0, 2).map((page) => page.close()))),
    crash: async (at) => {
      if (pages.length < 2) return
      const [page] = pages.splice(at, 1)
      const crashed = new Promise((done) => page.once('crash', done))
      await Promise.all([crashed, page.goto('chrome://crash').catch(() => {})])
    },
    reload: async (at) => {
      await pages[at].reload()
      await listen(pages[at], { tabs: true, key: 'news' })
    },
    kill: async () => {
      const last = await publisher.stop()
      await server.kill()
      await server.start()
      publisher = publishing(server, last)
    },
  }
  for (let step = 0; step < 12; step++) {
    const name = Object.keys(steps)[Math.floor(random() * 6)]
    await steps[name](Math.floor(random() * pages.length))
    await publisher.more(Math.floor(random() * 15))
  }
  // Whoever is last to come is there before the last events.
  await publisher.more(5)
  const last = await publisher.stop()
  for (const page of pages) await sawAll(page, last)
  await server.untilOpen(1)
})

/** Numbers from 0 to 1 that a seed determines: a linear congruential generator. */
function randomFrom(seed) {
  let state = seed >>> 0
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
}

test('where a page may have no locks, which needs a secure origin, each tab has its own connection', async () => {
  const pages = []
  while (pages.length < 2) {
    const page = await it.newPage(blankPageOf({ url: `http://ssekit.test:${server.port}` }))
    assert.equal(await page.evaluate(() => isSecureContext), false)
    await listen(page, { tabs: true, key: 'news' })
    pages.push(page)
  }
  await server.untilOpen(2)
  await server.publish('news', 1)
  for (const page of pages) await sawAll(page, 1, 1)
})

test('in a frame without an origin, which is refused locks, a source has its own connection', async () => {
  it.site.on('/events', (_request, response) => {
    begin(response, { 'access-control-allow-origin': '*' })
    response.write(event({ data: 'x' }))
  })
  const frame = await it.newFrame({ sandbox: 'allow-scripts', src: '/blank' })
  await loadPackage(frame)
  const refused = await frame.evaluate(() => navigator.locks.request('x', () => {}).catch(({ name }) => name))
  assert.equal(refused, 'SecurityError')
  await frame.evaluate(() => void watch('/events', { method: 'GET', tabs: true, key: 'news' }))
  await noted(frame, 'message')
})
