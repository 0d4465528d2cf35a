// Crossing: our client in Chromium against our Rust server.
import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { inChromium, loadPackage, noted, notesOf } from '../support/browser.mjs'

const it = inChromium({ fixture: true })
let page
beforeEach(async () => {
  page = await it.fixturePage()
  await loadPackage(page)
})

const watch = (from, options = {}) => page.evaluate(([from, options]) => void watch(from, options), [from, options])

test('as many events as the server can send: every one, in order', async () => {
  const seen = await page.evaluate(async () => {
    const source = ssekit.source('/many?n=50000&size=120', { buffer: 100_000 })
    let count = 0
    for await (const { id, event, data } of source) {
      if (event === 'done') return { count, said: Number(data) }
      count++
      if (id !== `${count}` || !data.startsWith(`${count} .`) || data.length !== 120) return { count, id, data }
    }
  })
  assert.deepEqual(seen, { count: 50_000, said: 50_000 })
})

test("a language model's answer, put together as it comes, and its end", async () => {
  const answer = await page.evaluate(
    () =>
      new Promise((done) => {
        let text = ''
        ssekit
          .source('/tokens?n=800&every=1', { method: 'POST', body: '{}', onclose: ({ reason }) => done({ text, reason }) })
          .select()
          .subscribe((data) => {
            if (data && data !== '[DONE]') text += JSON.parse(data).choices[0].delta.content
          })
      }),
  )
  assert.deepEqual(answer, { text: 'The answer is "forty-two", naïvely.\n'.repeat(100), reason: 'ended' })
})

test('typed figures as JSON, of which one is cut short; pings beside them', async () => {
  await page.evaluate(() => {
    const stats = ssekit.source('/json').select('stats')
    stats.json(({ previous }) => previous).subscribe((value) => note('load', value?.load ?? null))
  })
  assert.deepEqual(await noted(page, 'load', 6), [null, 0.25, 0.5, 0.5, 1, 1.25])
  await watch('/ping?every=50', { select: ['ping'] })
  const messages = await noted(page, 'message', 3)
  // A ping has no id of its own: the last one lasts.
  assert.deepEqual(messages.slice(0, 3), [['1', 'message', 'hello'], ['1', 'ping', ''], ['1', 'ping', '']])
})

test('events without a name are messages, comments are none, data may have lines', async () => {
  await watch('/unnamed')
  const [close] = await noted(page, 'close')
  assert.equal(close.reason, 'ended')
  assert.deepEqual(await notesOf(page, 'message'), [['', 'message', 'one'], ['', 'message', 'two\nlines'], ['', 'message', '']])
})

test('it returns after the time that the server names, where it was, by POST as by GET', async () => {
  for (const method of ['POST', 'GET']) {
    await page.evaluate(() => void (notes.length = 0))
    await watch('/retry?ms=20', { method, reconnect: { minDelay: 1 } })
    const messages = await noted(page, 'message', 9)
    assert.deepEqual(messages.slice(0, 9).map(([id]) => Number(id)), [1, 2, 3, 4, 5, 6, 7, 8, 9])
    await page.evaluate(() => globalThis.source.close())
    const asked = (await it.fixture.requests('/retry')).filter((request) => request.method === method)
    assert.deepEqual(asked.slice(0, 3).map(({ headers }) => headers['last-event-id']), [undefined, '3', '6'])
  }
})

test('an answer that takes its time is no error', async () => {
  await watch('/slow?head=300&every=20', { connectTimeout: 20_000 })
  await noted(page, 'message')
  assert.deepEqual(await notesOf(page, 'state'), ['connecting', 'open'])
  assert.equal((await notesOf(page, 'error')).length, 0)
})

test('a page of another origin, with credentials and a header that it has to ask for', async () => {
  const other = await it.newPage()
  await loadPackage(other)
  await it.context.addCookies([{ name: 'who', value: 'ada', url: it.fixture.url }])
  await other.evaluate((url) => {
    watch(url, { credentials: 'include', headers: { 'x-token': 'secret' }, lastEventId: '41' })
  }, `${it.fixture.url}/cors`)
  await noted(other, 'message')
  const asked = (await it.fixture.requests('/cors')).at(-1).headers
  assert.deepEqual([asked.cookie, asked['x-token'], asked['last-event-id']], ['who=ada', 'secret', '41'])
})
