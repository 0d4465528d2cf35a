// Crossing: a page with the client of npm's `sveltekit-sse` 0.14.3, in Chromium, against our Rust server.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { inChromium, loadNotes, notesOf } from '../support/browser.mjs'
import { bundleOriginalClient } from '../support/original.mjs'
import { until } from '../support/until.mjs'

const it = inChromium({ fixture: true })
let client
before(async () => (client = await bundleOriginalClient()))

/** Listens to `path` with the original's client, and notes what it tells. */
async function listen(path, selected = ['message']) {
  const page = await it.fixturePage()
  await loadNotes(page)
  await page.evaluate(
    async ({ client, path, selected }) => {
      const { source } = await import(client)
      const tell = ({ status, isLocal }) => ({ status, isLocal })
      globalThis.connection = source(path, {
        open: (told) => note('open', tell(told)),
        close: (told) => note('close', tell(told)),
        error: (told) => note('error', String(told.error)),
        options: { onmessage: ({ id, event, data }) => note('event', [id, event, data]) },
      })
      const stores = selected.map((name) => [name, globalThis.connection.select(name)])
      globalThis.leave = stores.map(([name, store]) => store.subscribe((value) => note(name, value)))
      globalThis.stats = globalThis.connection.select('stats').json(({ raw, previous }) => {
        note('unparsed', raw)
        return previous
      })
    },
    { client, path, selected },
  )
  return page
}

test('stores follow the clock, with ids from 1', async () => {
  const page = await listen('/clock')
  const events = await it.noted('event', 3, page)
  assert.deepEqual(events.slice(0, 3).map(([id, event]) => [id, event]), [['1', 'message'], ['2', 'message'], ['3', 'message']])
  assert.deepEqual(await it.noted('open', 1, page), [{ status: 200, isLocal: false }])
  const values = await it.noted('message', 4, page)
  assert.equal(values[0], '', 'a store begins empty')
  assert.deepEqual(values.slice(1, 4), (await notesOf(page, 'event')).slice(0, 3).map(([, , data]) => data))
  const [{ method }] = await it.fixture.requests('/clock')
  assert.equal(method, 'POST')
})

test('an unlocked stream is a close that is not local', async () => {
  const page = await listen('/lock')
  assert.deepEqual(await it.noted('close', 1, page), [{ status: 200, isLocal: false }])
  assert.deepEqual(await notesOf(page, 'message'), ['', 'hello'])
})

test('the last unsubscription ends the stream at the server', async () => {
  const page = await listen('/clock')
  await it.noted('event', 1, page)
  await it.fixture.untilOpen(1)
  await page.evaluate(() => globalThis.leave.forEach((leave) => leave()))
  await it.fixture.untilOpen(0)
  assert.deepEqual(await notesOf(page, 'close'), [{ status: 200, isLocal: true }])
  // The original's client tells of an AbortError a second after it has closed; ours does not (Q3).
})

test('pings are events without an id', async () => {
  const page = await listen('/ping?every=50')
  const events = await it.noted('event', 4, page)
  assert.deepEqual(events.slice(0, 4), [['1', 'message', 'hello'], ...Array(3).fill(['', 'ping', ''])])
})

test('json gives typed values, and the previous one for text that is none', async () => {
  const page = await listen('/json', [])
  // The first subscription of all, so that nothing has come before it.
  await page.evaluate(() => globalThis.stats.subscribe((value) => note('stats', value?.sequence ?? null)))
  await until(async () => (await notesOf(page, 'stats')).at(-1) === 5, 'the last figures')
  const stats = await notesOf(page, 'stats')
  // The first null is the store's own, for which `or` is called too.
  assert.deepEqual(stats.filter((value, index) => value !== stats[index - 1]), [null, 1, 2, 4, 5])
  const unparsed = await notesOf(page, 'unparsed')
  assert.deepEqual(unparsed.filter(Boolean), ['{"sequence":3,"load":'])
})

test('no block without data reaches the page, whatever the stream says beside events', async () => {
  const page = await listen('/retry?ms=60000')
  await it.noted('close', 1, page)
  assert.deepEqual(await notesOf(page, 'event'), [['1', 'message', '1'], ['2', 'message', '2'], ['3', 'message', '3']])
})

test('a channel reaches two pages alike', async () => {
  const pages = [await listen('/channel', ['news']), await listen('/channel', ['news'])]
  await it.fixture.untilOpen(2)
  const ids = []
  for (const text of ['one', 'two\nlines', 'three']) ids.push(await it.fixture.publish('news', text))
  const expected = ['one', 'two\nlines', 'three'].map((text, index) => [ids[index], 'news', text])
  for (const page of pages) assert.deepEqual(await it.noted('event', 3, page), expected)
})
