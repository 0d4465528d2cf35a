// Crossing: the browser's own `EventSource` against our Rust server.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { blankPageOf, inChromium, loadNotes, notesOf } from '../support/browser.mjs'
import { startFixture } from '../support/fixture.mjs'
import { BLANK } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium({ fixture: true })

/** Opens an `EventSource` in a page of the server's origin, and notes what it tells. */
async function listen(path, names = ['message'], page = undefined) {
  page ??= await it.fixturePage()
  await loadNotes(page)
  await page.evaluate(
    ({ path, names }) => {
      const events = new EventSource(path, { withCredentials: path.startsWith('http') })
      globalThis.events = events
      events.onopen = () => note('open', events.readyState)
      events.onerror = () => note('error', events.readyState)
      for (const name of names) {
        events.addEventListener(name, ({ type, data, lastEventId }) => note('event', [type, data, lastEventId]))
      }
    },
    { path, names },
  )
  return page
}

test('events, names, ids and pings arrive as they were emitted', async () => {
  const page = await listen('/ping?every=50', ['message', 'ping'])
  const events = await it.noted('event', 3, page)
  assert.deepEqual(events.slice(0, 3), [['message', 'hello', '1'], ['ping', '', '1'], ['ping', '', '1']])
})

test('it resumes by itself after the reconnection time, where it was', async () => {
  const page = await listen('/retry?ms=50')
  const events = await it.noted('event', 9, page)
  assert.deepEqual(events.slice(0, 9), Array.from({ length: 9 }, (_, i) => ['message', `${i + 1}`, `${i + 1}`]))
  const asked = await it.fixture.requests('/retry')
  assert.deepEqual(asked.slice(0, 3).map(({ headers }) => headers['last-event-id']), [undefined, '3', '6'])
})

test('a server that is killed and started again loses nothing and repeats nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ssekit-'))
  const server = await startFixture({ log: join(folder, 'log') })
  try {
    const page = await it.newPage(blankPageOf(server))
    await listen('/channel?retry=50', ['news'], page)
    await server.untilOpen(1)
    const expected = []
    const publish = async () => {
      const text = `number ${expected.length + 1}`
      expected.push(['news', text, await server.publish('news', text)])
    }
    for (let i = 0; i < 5; i++) await publish()
    await it.noted('event', 5, page)
    await server.kill()
    await server.start()
    // These may come before the page is back.
    for (let i = 0; i < 5; i++) await publish()
    await until(async () => (await notesOf(page, 'event')).at(-1)?.[1] === 'number 10', 'the last event')
    assert.deepEqual(await notesOf(page, 'event'), expected)
  } finally {
    await server.stop()
    await rm(folder, { recursive: true })
  }
})

test('a page of another origin is allowed in, with credentials', async () => {
  it.site.page('/other', BLANK)
  const page = await it.newPage(`${it.site.url}/other`)
  await it.context.addCookies([{ name: 'who', value: 'ada', url: it.fixture.url }])
  await listen(`${it.fixture.url}/cors`, ['message'], page)
  await it.noted('event', 2, page)
  const [{ headers }] = await it.fixture.requests('/cors')
  assert.equal(headers.cookie, 'who=ada')
  assert.equal(headers.origin, it.site.url)
})

test('closing it ends the stream at the server', async () => {
  const page = await listen('/clock')
  await it.noted('event', 1, page)
  await it.fixture.untilOpen(1)
  await page.evaluate(() => globalThis.events.close())
  await it.fixture.untilOpen(0)
})
