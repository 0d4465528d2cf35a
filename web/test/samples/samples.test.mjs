// The samples of sveltekit-sse's README, in the order in which they stand there, with both of our entries. README.md says
// where they had to be mended.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { makeApp } from '../support/app.mjs'
import { inChromium } from '../support/browser.mjs'
import { startPostgres } from '../support/postgres.mjs'
import { freePort, startProgram } from '../support/program.mjs'
import { event } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()
const from = fileURLToPath(new URL('app', import.meta.url))
let app, postgres, server, url

before(async () => (postgres = await startPostgres()))
after(() => postgres?.stop())

/** The application's sources, which import this entry. */
function sourcesFor(entry) {
  const sources = readdirSync(join(from, 'src'), { recursive: true, withFileTypes: true }).filter((file) => file.isFile())
  const paths = sources.map((file) => join(file.parentPath ?? file.path, file.name))
  return Object.fromEntries(
    paths.map((path) => [path.slice(from.length + 1), readFileSync(path, 'utf8').replaceAll("'ssekit'", `'${entry}'`)]),
  )
}

/** Builds the application with this entry, and starts it. */
async function startApp(entry) {
  app = await makeApp(entry === 'ssekit' ? 'samples' : 'samples-original', { from, files: sourcesFor(entry) })
  await app.run('vite', 'build')
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  const env = { HOST: '127.0.0.1', PORT: `${port}`, DATABASE_URL: postgres.url }
  server = await startProgram([process.execPath, 'build'], { cwd: app.folder, env, ready: /^Listening on/ })
}

/** Opens a page of the application; its `log` has what it writes to the console. */
async function open(path) {
  const page = await it.context.newPage()
  page.log = []
  page.on('console', (message) => page.log.push(message.text()))
  page.on('pageerror', (error) => it.errors.push(String(error)))
  page.asked = []
  page.on('request', (request) => page.asked.push(new URL(request.url()).pathname))
  await page.goto(`${url}${path}`)
  return page
}

/** Opens the page that shows the events of a route. */
const listen = (route, session = '') => open(`/listen?from=/${route}&session=${session}`)

const shown = (page) => page.innerText('body')
const lines = async (page) => (await shown(page)).split('\n').filter(Boolean)
const untilShown = (page, text) =>
  until(async () => text.exec(await shown(page))?.[0], `${text} on ${page.url()}`)
const untilLogged = (page, text, count = 1) =>
  until(() => page.log.filter((line) => text.test(line)).length >= count, `${count} × ${text} logged by ${page.url()}`)

/** What the server prints while something is done. */
async function printed(pattern, action) {
  const before = server.lines.length
  await action()
  await server.line(pattern, 15_000, before)
}

for (const entry of ['ssekit', 'ssekit/sveltekit-sse']) {
  describe(entry, () => samples(entry))
}

function samples(entry) {
  before(() => startApp(entry))
  after(() => server?.stop())

  test('produce: events named message, one a second', async () => {
    const gone = new AbortController()
    const answer = await fetch(`${url}/custom-event`, { method: 'POST', signal: gone.signal })
    assert.equal(answer.headers.get('content-type'), 'text/event-stream')
    let text = ''
    const times = []
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      text += piece
      if (text.split('\n\n').length > times.length + 1) times.push(performance.now())
      if (times.length === 3) break
    }
    gone.abort()
    const events = 'event: message\ndata: the time is \\d{13}\n\n'
    // The original numbers its events.
    const ids = entry === 'ssekit' ? ['', ''] : ['id: 1\n', 'id: 2\n']
    assert.match(text, new RegExp(`^${ids[0]}${events}${ids[1]}event: message\n`))
    assert.ok(times[2] - times[0] > 1_500, `three events within ${times[2] - times[0]} ms`)
  })

  test('consume: the page shows the newest event', async () => {
    const page = await open('/consume')
    const first = await untilShown(page, /the time is \d{13}/)
    await until(async () => (await untilShown(page, /the time is \d{13}/)) !== first, 'another time')
  })

  test('locking: the stream is closed after 2 seconds', async () => {
    const page = await listen('locking')
    await untilShown(page, /message: hello world/)
    const since = performance.now()
    await untilShown(page, /\(closed\)/)
    assert.ok(performance.now() - since > 1_000, 'it was closed at once')
    assert.deepEqual(await lines(page), ['message: hello world', '(closed)'])
  })

  test('locking: emit returns an error after the stream was unlocked', async () => {
    await printed(/^Error: .+/, async () => {
      const page = await listen('locking-error')
      await untilShown(page, /\(closed\)/)
      assert.deepEqual(await lines(page), ['(closed)'])
    })
  })

  test('stop: the returned function runs when the client leaves', async () => {
    const page = await listen('stop-by-return')
    await untilShown(page, /message: hello/)
    assert.equal(server.lines.includes('Connection canceled.'), false)
    await printed(/^Connection canceled\.$/, () => page.close())
  })

  test('stop: the option runs when the stream is unlocked', async () => {
    await printed(/^Connection stopped\.$/, async () => {
      const page = await listen('stop-by-option')
      await untilShown(page, /message: hello\n\(closed\)/)
    })
  })

  test('cleanup: pings at the interval of the option, and stop when the client leaves', async () => {
    const page = await listen('ping')
    const since = performance.now()
    await untilShown(page, /ping: /)
    await untilShown(page, /ping: \s*ping: /)
    const between = performance.now() - since
    assert.ok(between > 3_000 && between < 12_000, `two pings within ${between} ms`)
    await printed(/^Client disconnected\.$/, () => page.close())
  })

  test('cleanup: emit returns an error once the client has left, and the producer stops', async () => {
    // A content type that no form has: SvelteKit refuses those from elsewhere.
    const headers = { 'content-type': 'application/octet-stream' }
    const happen = (data) => fetch(`${url}/remote`, { method: 'POST', headers, body: data })
    const page = await listen('forced-detection')
    // The first may come before the stream listens.
    await until(async () => {
      await happen('first')
      return /data: first/.test(await shown(page))
    }, 'data on the page')
    await page.close()
    await printed(/^Client has disconnected\.$/, () =>
      until(async () => {
        await happen('second')
        return server.lines.includes('Client has disconnected.')
      }, 'the end of the producer'),
    )
  })

  test('reconnect: a stream that has closed is opened again, also one that the page has closed', async () => {
    const page = await it.context.newPage()
    page.log = []
    page.on('console', (message) => page.log.push(message.text()))
    // The first stream ends after an event.
    let streams = 0
    await page.route('**/custom-event', (route) => {
      streams += 1
      if (streams > 1) return route.continue()
      return route.fulfill({ contentType: 'text/event-stream', body: event({ event: 'message', data: 'the first stream' }) })
    })
    await page.goto(`${url}/reconnect`)
    await untilLogged(page, /^reconnecting\.\.\.$/)
    await untilShown(page, /the time is \d{13}/)
    assert.equal(streams, 2)
    // After 3 seconds the page closes it, which its callback undoes: the page shows events again.
    await untilLogged(page, /^reconnecting\.\.\.$/, 2)
    await until(() => streams === 3, 'the third stream')
    const last = await untilShown(page, /the time is \d{13}/)
    await until(async () => (await untilShown(page, /the time is \d{13}/)) !== last, 'another time')
    assert.equal(page.log.filter((line) => line === 'reconnecting...').length, 2, 'one close reconnects once')
  })

  test('custom headers reach the server', async () => {
    const page = await open('/custom-headers')
    await untilShown(page, /authorization: Bearer \.\.\./)
  })

  test('transform: the store has the result of the function', async () => {
    const page = await open('/transform')
    await untilLogged(page, /transformed: the time is \d{13}/, 2)
  })

  test('json: invalid JSON becomes the result of `or`, which is the value before', async () => {
    const page = await it.context.newPage()
    page.log = []
    page.on('console', (message) => page.log.push(message.text()))
    const body = ['{"valid":1}', 'invalid', '[2]'].map((data) => event({ event: 'message', data }))
    await page.route('**/custom-event', (route) => route.fulfill({ contentType: 'text/event-stream', body: body.join('') }))
    await page.goto(`${url}/json`)
    await untilLogged(page, /Array\(1\)|\[2\]/)
    assert.equal(page.log.filter((line) => /^Could not parse "invalid" as json\. SyntaxError/.test(line)).length, 1)
    assert.equal(page.log.filter((line) => /^Could not parse/.test(line)).length, 1)
  })

  test('third-party data: online clients are in the map, and can be sent to from elsewhere', async () => {
    const online = async () => (await fetch(`${url}/some-file`)).json()
    const page = await listen('events', 'some-session-id')
    await until(async () => (await online()).includes('some-session-id'), 'the session in the map')
    const sent = await fetch(`${url}/some-file`, { method: 'POST' })
    assert.equal(await sent.text(), 'sent')
    await untilShown(page, /message: hello/)
    await page.close()
    await until(async () => (await online()).length === 0, 'an empty map')
  })

  test('third-party data: a client without a session gets nothing and is not in the map', async () => {
    const page = await listen('events')
    await printed(/^Client session id not found\.$/, async () => {
      await until(() => page.asked.includes('/events'), 'the request')
      await page.close()
    })
  })

  test('Postgres: a notification reaches the client of the session', async () => {
    const page = await listen('events', 'some-session-id')
    const online = async () => (await fetch(`${url}/some-file`)).json()
    await until(async () => (await online()).includes('some-session-id'), 'the session in the map')
    const listening = await fetch(`${url}/pg-listen`, { method: 'POST' })
    assert.equal(listening.status, 200, `${await listening.text()}\n${server.text}`)
    const { Client } = createRequire(join(app.folder, 'package.json'))('pg')
    const database = new Client({ connectionString: postgres.url })
    await database.connect()
    await database.query(`SELECT pg_notify('my-channel', '{"message":"from the database"}')`)
    await database.end()
    await untilShown(page, /my-channel: from the database/)
    await page.close()
  })
}
