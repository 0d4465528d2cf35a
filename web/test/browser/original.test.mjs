// Pages of `sveltekit-sse` after changing the import to `ssekit/sveltekit-sse`: the scenes of its own browser tests, on our
// Rust server and on `produce` of the same entry.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { blankPageOf, inChromium, loadNotes, notesOf } from '../support/browser.mjs'
import { startFixture } from '../support/fixture.mjs'
import { serveResponses } from '../support/responses.mjs'
import { until } from '../support/until.mjs'

const it = inChromium({ fixture: true })
const requests = []
let producing
before(async () => {
  const { produce } = await import('../../dist/sveltekit-sse.js')
  producing = await serveResponses(({ method, url, headers }) => {
    requests.push({ method, headers })
    return produce(async ({ emit }) => {
      const name = headers.get('x-name')
      for (let tick = 0; ; tick++) {
        if (emit('message', name ? `Hello ${name}, the time is ${Date.now()}` : `hello ${new URL(url, 'http://x').searchParams.get('name') ?? tick}`).error) return
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    })
  })
})
after(() => producing?.stop())

/** A page with the entry as `original`, and the address of a stream of events named `message`. */
async function open(server) {
  const page = await it.fixturePage()
  await loadNotes(page)
  await page.evaluate(async () => Object.assign(globalThis, { original: await import('/dist/sveltekit-sse.js') }))
  return { page, url: server === 'produce' ? `${producing.url}/clock` : `${it.fixture.url}/clock` }
}

for (const server of ['the Rust server', 'produce']) {
  test(`${server}: close, and connect of the close callback, in turn: 3 opens and 3 closes`, async () => {
    const { page, url } = await open(server)
    await page.evaluate((url) => {
      let reconnect = () => {}
      const connection = original.source(url, {
        close({ connect }) {
          note('close', '')
          reconnect = connect
        },
        open: () => note('open', ''),
      })
      globalThis.leave = connection.select('message').subscribe((value) => note('message', value))
      const { close } = connection
      for (const time of [500, 1500, 2500]) setTimeout(close, time)
      for (const time of [1000, 2000]) setTimeout(() => reconnect(), time)
      setTimeout(() => note('end', ''), 3500)
    }, url)
    await it.noted('end', 1, page)
    const [opens, closes] = [await notesOf(page, 'open'), await notesOf(page, 'close')]
    assert.deepEqual([opens.length, closes.length], [3, 3])
    // The component goes, and with it its stream.
    await page.evaluate(() => globalThis.leave())
  })

  test(`${server}: calls for the same request give the same source, in any script`, async () => {
    const { page, url } = await open(server)
    const seen = await page.evaluate(async (url) => {
      const { source } = original
      const from = `${url}?name=猫`
      const [one, other] = [source(from), source(from)]
      const values = await Promise.all(
        [one, other].map(
          (connection) => new Promise((done) => connection.select('message').subscribe((value) => value && done(value))),
        ),
      )
      return {
        same: one === other,
        values,
        options: source(from, { options: { headers: { a: '1' } } }) === source(from, { headers: { a: '1' } }),
        callbacks: source(from, { open() {} }) === one,
        different: [
          source(`${url}?name=犬`),
          source(from, { cache: false }),
          source(from, { headers: { a: '1' } }),
          source(from, { headers: new Headers({ a: '2' }) }),
          source(from, { method: 'GET' }),
          source(from, { body: 'x' }),
          source(from, { headers: () => ({}) }),
        ].map((connection) => connection === one),
        bodies: source(from, { body: 'x' }) === source(from, { body: 'x' }),
      }
    }, url)
    assert.equal(seen.values[0], seen.values[1])
    if (server === 'produce') assert.match(seen.values[0], /hello 猫/)
    assert.deepEqual(
      [seen.same, seen.options, seen.callbacks, seen.bodies, ...seen.different],
      [true, true, true, false, ...Array(7).fill(false)],
    )
  })

  test(`${server}: three sources, one with a connection of its own, and a late one: two opens, and all have the events`, async () => {
    const { page, url } = await open(server)
    await page.evaluate((url) => {
      const listen = (name, options) =>
        original
          .source(url, { onopen: () => note('open', name), ...options })
          .select('message')
          .subscribe((value) => note(name, value))
      listen('one')
      listen('two')
      listen('own', { cache: false })
      setTimeout(() => {
        listen('late')
        note('newest', original.source(url).select('message').get())
        note('parsed', original.source(url).select('message').transform((text) => text).get())
        original.source(url).select('message').transform((text) => text.length).subscribe((value) => note('length', value))
      }, 1000)
    }, url)
    await it.noted('late', 3, page)
    assert.deepEqual((await notesOf(page, 'open')).sort(), ['one', 'own'])
    const [late] = await notesOf(page, 'late')
    const [newest] = await notesOf(page, 'newest')
    assert.notEqual(late, '')
    assert.equal(late, newest)
    // What is made of the newest event comes late, too, when somebody asks for it.
    assert.equal((await it.noted('length', 1, page))[0], newest.length)
    for (const name of ['one', 'two', 'own']) assert.equal((await it.noted(name, 3, page))[0], '')
    // An event may come between the two looks.
    const one = await notesOf(page, 'one')
    assert.deepEqual((await notesOf(page, 'two')).slice(0, one.length), one)
  })

  test(`${server}: nested callbacks get the response and messages, the first with the id 1`, async () => {
    const { page, url } = await open(server)
    await page.evaluate((url) => {
      original
        .source(url, {
          options: {
            onmessage: ({ id, event }) => note('message', [id, event]),
            onopen: ({ status }) => note('status', status),
          },
        })
        .select('message')
        .subscribe(() => {})
    }, url)
    assert.deepEqual((await it.noted('message', 2, page)).slice(0, 2), [['1', 'message'], ['2', 'message']])
    assert.deepEqual(await notesOf(page, 'status'), [200])
  })

  test(`${server}: GET, nested and flat`, async () => {
    const { page, url } = await open(server)
    await page.evaluate((url) => {
      original.source(url, { options: { method: 'GET' } }).select('message').subscribe((value) => note('nested', value))
      original.source(`${url}?flat`, { method: 'GET' }).select('message').subscribe((value) => note('flat', value))
    }, url)
    await it.noted('nested', 3, page)
    await it.noted('flat', 3, page)
    const methods = server === 'produce' ? requests : await it.fixture.requests('/clock')
    assert.deepEqual(methods.slice(-2).map(({ method }) => method), ['GET', 'GET'])
  })
}

test('callbacks get the status 500 before there is a response, and components may leave and come back', async () => {
  const { page, url } = await open('the Rust server')
  await page.evaluate((url) => {
    const tell = (kind) => ({ status, statusText, isLocal }) => note(kind, [status, statusText, isLocal])
    const listen = (name) => original.source(url, { open: () => note('opened', name), close: tell('close') }).select('message').subscribe(() => {})
    original.source('http://127.0.0.1:9/nowhere', { error: tell('error'), reconnect: 'never' }).select('x').subscribe(() => {})
    listen('first')()
    // The first component has gone: the callbacks of the next one are called.
    globalThis.leave = listen('second')
  }, url)
  assert.deepEqual((await it.noted('error', 1, page))[0], [500, 'Internal Server Error', false])
  assert.deepEqual(await it.noted('opened', 1, page), ['second'])
  await page.evaluate(() => globalThis.leave())
  await it.fixture.untilOpen(0)
})

test('a server that is killed calls `error`, and the page shows the reconnection', async () => {
  const server = await startFixture()
  try {
    const page = await it.newPage(blankPageOf(server))
    await loadNotes(page)
    await page.evaluate(async () => {
      const { source } = await import('/dist/sveltekit-sse.js')
      source('/clock', {
        reconnect: { delay: 20, minDelay: 1, maxDelay: 50 },
        open: () => note('state', 'Connected'),
        close: () => note('state', 'Closed'),
        error: () => note('state', 'Disconnected'),
      })
        .select('message')
        .subscribe(() => {})
    })
    await it.noted('state', 1, page)
    await server.kill()
    await until(async () => (await notesOf(page, 'state')).at(-1) === 'Disconnected', 'the page knows')
    await server.start()
    await until(async () => (await notesOf(page, 'state')).at(-1) === 'Connected', 'the page is back')
    assert.equal((await notesOf(page, 'state')).includes('Closed'), false)
  } finally {
    await server.stop()
  }
})
