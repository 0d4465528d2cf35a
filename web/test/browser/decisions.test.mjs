// Where the package decides otherwise than npm's `sveltekit-sse`, and where each such decision is tested. The page
// `differences.md` has the reasons.
//
// | What `sveltekit-sse` does                                             | Tests |
// |-----------------------------------------------------------------------|-------|
// | 2  the server: ids, hooks, unlocking                                   | `produce.test.mjs` 2.1, 2.2 |
// | 3  stores: first values, laziness, sharing, names, equal values,       | `stores.test.mjs` 3.1 to 3.15 |
// |    json, transform, what is kept, teardown                             | |
// | 4  callbacks: open, refusals, messages, ends, closes, breaks, failures,| `callbacks.test.mjs` 4.1 to 4.19 |
// |    callbacks that throw, empty answers, connect                        | |
// | Q1  one event's last unsubscription ends its siblings                  | `stores.test.mjs` 3.10 |
// | Q2  the usual way to reconnect also reconnects after leaving           | `callbacks.test.mjs` 4.16, 4.17; `original.test.mjs` |
// | Q3  an AbortError is told a second after closing                       | `callbacks.test.mjs` 4.8 |
// | Q4  a refusal is asked for again at once, for ever                     | Q4; `network.test.mjs`: 500, 429, delays; 4.2, 4.4 |
// | Q5  a first connection that fails is silent; there is no state         | Q5; `callbacks.test.mjs` 4.11 |
// | Q6  Last-Event-ID is not sent                                          | Q6; 4.7, 4.10; `network.test.mjs` |
// | Q7  CR adds fields and events                                          | `produce.test.mjs` Q7 |
// | Q8  equal and quick values are lost                                    | `stores.test.mjs` 3.6, 3.8, 3.14; Q8 |
// | Q9  a close is told twice                                              | `callbacks.test.mjs` 4.6, 4.8 |
// | Q10 queues without a bound                                             | `produce.test.mjs` Q10; `stores.test.mjs` 3.15 |
// | Q11 a producer goes on when its client has gone                        | `produce.test.mjs` Q11 |
// | Q12 an error of `start` ends the process                               | `produce.test.mjs` Q12 |
// | Q13 what nobody reads is produced                                      | `produce.test.mjs` Q13 |
// | Q14 a ping takes an id                                                 | `produce.test.mjs` Q14; `crossing-original-client.test.mjs` |
// | Q15 parameters of the content type are refused                         | `callbacks.test.mjs` 4.1, 4.3 |
// | Q16 different requests share a connection, callbacks are ignored       | `stores.test.mjs` 3.3 |
// | Q17 `signal` and `credentials` are ignored                             | Q17 |
// | Q18 first values differ between server and page                        | `stores.test.mjs` 3.1 |
// | Q19 headers are merged by their case                                   | `produce.test.mjs` Q19 |
// | Q20 a page that is shown again opens one more stream                   | `lifecycle.test.mjs`: openWhenHidden |
// | Q21 workers and Node cannot listen                                     | `lifecycle.test.mjs`: workers; Q21 |
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inChromium, loadPackage, notesOf } from '../support/browser.mjs'
import { begin, ending, event, refusing, startSite, streaming } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()
const run = (script, argument) => it.page.evaluate(script, argument)

test('Q4 a reconnection in the close callback of a refusal follows the policy, not a hot loop', async () => {
  it.site.on('/loop', refusing(404))
  await it.page.clock.install()
  await loadPackage(it.page)
  await run(() => {
    watch('/loop', {
      onclose: ({ connect }) => {
        note('close', '')
        connect()
      },
    })
  })
  await it.noted('close')
  for (let second = 0; second < 60; second++) {
    await it.page.clock.runFor(1000)
    await run(() => fetch('/blank').then(() => {}))
  }
  const asked = it.site.asked('/loop').length
  assert.ok(asked > 1 && asked < 40, `${asked} requests in a minute`)
  await run(() => globalThis.source.close())
})

test('Q5 the state is a store: connecting, open, waiting, closed, with the reason', async () => {
  const hold = {}
  it.site.on(
    '/state',
    async (_request, response) => {
      await new Promise((answer) => (hold.answer = answer))
      begin(response)
      response.write(event({ retry: 10, data: 'one' }))
      hold.end = () => response.end()
    },
    refusing(404),
  )
  await loadPackage(it.page)
  assert.equal(await run(() => ssekit.source('/state').status.get().state), 'idle')
  await run(() => void watch('/state', { reconnect: { delay: 100, minDelay: 1 } }))
  await until(() => hold.answer, 'the request')
  hold.answer()
  await it.noted('open')
  await until(() => hold.end, 'the stream')
  hold.end()
  await it.noted('close')
  const states = (await notesOf(it.page, 'state')).filter((state, index, all) => state !== all[index - 1])
  assert.deepEqual(states.filter((state) => state !== 'idle'), ['connecting', 'open', 'waiting', 'connecting', 'closed'])
  const status = await run(() => {
    const { state, reason, error } = globalThis.source.status.get()
    return { state, reason, code: error?.code, status: error?.status }
  })
  assert.deepEqual(status, { state: 'closed', reason: 'failed', code: 'status', status: 404 })
})

test('Q6 a page may begin after an id that it was rendered with', async () => {
  it.site.on('/resume', streaming({ data: 'after 41' }))
  await loadPackage(it.page)
  await run(() => void watch('/resume', { lastEventId: '41' }))
  assert.deepEqual(await it.noted('message'), [['41', 'message', 'after 41']])
  assert.equal(it.site.asked('/resume')[0].headers['last-event-id'], '41')
})

test('Q6 an id that no header can hold is an error, and the rest goes on', async () => {
  it.site.on('/odd', ending({ retry: 10, id: '🎈', data: 'one' }), streaming({ data: 'two' }))
  await loadPackage(it.page)
  await run(() => void watch('/odd', { reconnect: { minDelay: 1 } }))
  await it.noted('message', 2)
  const codes = (await notesOf(it.page, 'error')).map(({ error }) => error.code)
  const sent = it.site.asked('/odd')[1].headers['last-event-id']
  // Either it was sent as UTF-8, or that it could not be was told.
  assert.ok(codes.includes('last-event-id') || Buffer.from(sent ?? '', 'latin1').toString() === '🎈', `${codes}, ${sent}`)
})

test('Q8 ten thousand events at once reach a store subscriber, each of them', async () => {
  const events = Array.from({ length: 10_000 }, (_, n) => event({ data: `${n % 7}` })).join('')
  it.site.on('/burst', streaming(events, { event: 'done', data: 'done' }))
  await loadPackage(it.page)
  const count = await run(
    () =>
      new Promise((done) => {
        let count = 0
        const source = ssekit.source('/burst')
        source.select('message').subscribe(() => count++)
        source.select('done').subscribe((value) => value && done(count))
      }),
  )
  assert.equal(count, 10_001) // and the first value
})

test('Q17 a signal closes its source, also before there is an answer, and one that was aborted opens none', async () => {
  it.site.on('/signal', streaming({ data: 'one' }))
  it.site.on('/mute', () => {})
  await loadPackage(it.page)
  await run(() => {
    globalThis.controller = new AbortController()
    watch('/signal', { signal: globalThis.controller.signal })
    watch('/mute', { signal: globalThis.controller.signal })
  })
  await it.noted('message')
  await until(() => it.site.asked('/mute').length === 1, 'the second request')
  await run(() => globalThis.controller.abort())
  await until(() => it.site.asked('/signal')[0].gone && it.site.asked('/mute')[0].gone, 'both connections are closed')
  const closes = await it.noted('close', 2)
  assert.ok(closes.every(({ isLocal, reason }) => isLocal && reason === 'local'))
  await run(() => {
    watch('/signal', { signal: AbortSignal.abort() })
    return fetch('/blank').then(() => {})
  })
  assert.equal(it.site.asked('/signal').length, 1)
})

test('Q17 credentials, mode and the other options of fetch reach it', async () => {
  const other = await startSite()
  try {
    const allowed = { 'access-control-allow-origin': it.site.url, 'access-control-allow-credentials': 'true' }
    const url = other.on('/private', (_request, response) => {
      begin(response, allowed)
      response.write(event({ data: 'one' }))
    })
    await it.context.addCookies([{ name: 'who', value: 'ada', url: other.url }])
    await loadPackage(it.page)
    await run((url) => {
      watch(url, { credentials: 'include', select: ['message'] })
      watch(url, { credentials: 'omit' })
      watch(url, { options: { credentials: 'include', referrerPolicy: 'no-referrer' } })
    }, url)
    await it.noted('message', 3)
    const asked = other.asked('/private').map(({ headers }) => [headers.cookie, Boolean(headers.referer)])
    const sorted = (list) => list.map((each) => JSON.stringify(each)).sort()
    assert.deepEqual(sorted(asked), sorted([['who=ada', true], [undefined, true], ['who=ada', false]]))
  } finally {
    await other.stop()
  }
})

test('Q17 headers may be asked for anew before each attempt', async () => {
  it.site.on('/token', ending({ retry: 10, data: 'one' }), streaming({ data: 'two' }))
  await loadPackage(it.page)
  await run(() => {
    let number = 0
    watch('/token', { reconnect: { minDelay: 1 }, headers: async () => ({ authorization: `Bearer ${++number}` }) })
  })
  await it.noted('message', 2)
  assert.deepEqual(it.site.asked('/token').map(({ headers }) => headers.authorization), ['Bearer 1', 'Bearer 2'])
})

test('Q21 Node listens by iterators and callbacks', async () => {
  it.site.on('/node', streaming({ id: 1, data: 'one' }, { id: 2, data: 'two' }))
  const { source } = await import('../../dist/index.js')
  const read = []
  for await (const { id, data } of source(`${it.site.url}/node`)) if (read.push([id, data]) === 2) break
  assert.deepEqual(read, [['1', 'one'], ['2', 'two']])
  await until(() => it.site.asked('/node')[0].gone, 'the connection is closed')
})
