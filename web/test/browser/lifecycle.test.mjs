// Pages that are hidden; workers of every kind; a policy that forbids WebAssembly; what is loaded when.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inChromium, loadPackage, noted, notesOf, showPage } from '../support/browser.mjs'
import { BLANK, streaming } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium({ fixture: true })
const run = (script, argument, page = it.page) => page.evaluate(script, argument)

/** Three streams, of which each has one event more. */
function three(path) {
  it.site.on(path, ...[1, 2, 3].map((id) => streaming({ id, data: `of stream ${id}` })))
  return () => it.site.asked(path)
}

const show = (visible) => showPage(it.page, visible)

test('openWhenHidden: false: a hidden page pauses, and goes on after the last event, by one stream', async () => {
  const asked = three('/hidden')
  await loadPackage(it.page)
  await run(() => void watch('/hidden', { openWhenHidden: false }))
  await it.noted('message')
  for (const round of [1, 2]) {
    await show(false)
    await until(() => asked()[round - 1].gone, 'the stream of a hidden page is closed')
    assert.equal(await run(() => globalThis.source.status.get().state), 'paused')
    await show(true)
    await it.noted('message', round + 1)
  }
  assert.deepEqual(asked().map(({ headers }) => headers['last-event-id']), [undefined, '1', '2'])
  assert.deepEqual(asked().map(({ gone }) => gone), [true, true, false])
  assert.equal((await notesOf(it.page, 'close')).length, 0)
  assert.equal((await notesOf(it.page, 'error')).length, 0)
})

test('openWhenHidden: false: a page that is hidden from the start connects when it is shown', async () => {
  const asked = three('/hidden-first')
  await loadPackage(it.page)
  await show(false)
  await run(() => void watch('/hidden-first', { openWhenHidden: false }))
  await until(async () => (await notesOf(it.page, 'state')).at(-1) === 'paused', 'it is paused')
  assert.equal(asked().length, 0)
  await show(true)
  await it.noted('message')
})

test('closed while it is hidden, a source stays closed when the page is shown', async () => {
  const asked = three('/hidden-closed')
  await loadPackage(it.page)
  await run(() => void watch('/hidden-closed', { openWhenHidden: false }))
  await it.noted('message')
  await show(false)
  await until(() => asked()[0].gone, 'the stream is closed')
  await run(() => globalThis.source.close())
  await show(true)
  await run(() => fetch('/blank').then(() => {}))
  assert.equal(asked().length, 1)
  assert.deepEqual((await notesOf(it.page, 'close')).map(({ reason }) => reason), ['local'])
})

test('unless asked to, a hidden page keeps its stream', async () => {
  const asked = three('/kept')
  await loadPackage(it.page)
  await run(() => void watch('/kept'))
  await it.noted('message')
  await show(false)
  await run(() => fetch('/blank').then(() => {}))
  await show(true)
  await run(() => fetch('/blank').then(() => {}))
  assert.deepEqual(asked().map(({ gone }) => gone), [false])
})

/** Opens a source in a worker by this expression for its port; gives the page that notes what it tells. */
async function inWorker(expression, module) {
  const page = await it.fixturePage()
  await loadPackage(page)
  const start = new Function('options', `return (async () => {
    const port = await (${expression})
    port.addEventListener('message', ({ data: [kind, value] }) => note(kind, value))
    port.start?.()
    port.postMessage(options)
    globalThis.worker = port
  })()`)
  const options = { from: '/clock?every=20', options: { select: ['message'] }, module }
  await page.evaluate(start, options)
  const told = await until(async () => {
    const notes = await notesOf(page)
    return notes.filter(([kind]) => kind === 'message').length >= 3 || notes.find(([kind]) => kind === 'failed')
  }, 'events in the worker')
  assert.equal(told, true)
  const first = (await notesOf(page, 'message')).slice(0, 3)
  assert.deepEqual(first.map(([id, name]) => `${id} ${name}`), ['1 message', '2 message', '3 message'])
  assert.equal((await notesOf(page, 'value'))[0][1], '', 'stores work in workers')
  await it.fixture.untilOpen(1)
  await page.evaluate(() => globalThis.worker.postMessage('close'))
  await noted(page, 'close')
  await it.fixture.untilOpen(0)
}

test('in a dedicated worker', () =>
  inWorker(`new Worker('/test/support/worker.js', { type: 'module' })`, '/dist/index.js'))

test('in a shared worker', () =>
  inWorker(`new SharedWorker('/test/support/worker.js', { type: 'module' }).port`, '/dist/index.js'))

test('in a service worker, by the file that holds everything', () =>
  inWorker(
    // A service worker has no port of its own: it is given one.
    `navigator.serviceWorker.register('/test/support/service-worker.js', { type: 'module' })
      .then(() => navigator.serviceWorker.ready)
      .then(({ active }) => {
        const { port1, port2 } = new MessageChannel()
        active.postMessage('serve', [port2])
        return port1
      })`,
    '/dist/ssekit.js',
  ))

test('a policy without wasm-unsafe-eval: an error that names it, and the close', async () => {
  const asked = three('/policy')
  it.site.page('/strict', BLANK, { 'content-security-policy': "default-src 'self'; img-src data:" })
  const page = await it.newPage(`${it.site.url}/strict`)
  await loadPackage(page)
  await run(() => void watch('/policy'), undefined, page)
  const [error] = await noted(page, 'error')
  assert.equal(error.error.code, 'wasm')
  assert.match(error.error.message, /wasm-unsafe-eval/)
  const [close] = await noted(page, 'close')
  assert.deepEqual([close.reason, close.isLocal], ['failed', false])
  assert.equal(asked().length, 0)
})

test('a policy with wasm-unsafe-eval and nothing else that is unsafe is enough', async () => {
  three('/policy')
  const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src data:"
  it.site.page('/lenient', BLANK, { 'content-security-policy': policy })
  const page = await it.newPage(`${it.site.url}/lenient`)
  await loadPackage(page)
  await run(() => void watch('/policy'), undefined, page)
  await noted(page, 'message')
})

test('the file that holds everything works by itself', async () => {
  three('/single')
  await loadPackage(it.page, '/dist/ssekit.js')
  const files = await run(() => {
    watch('/single')
    return fetch('/blank').then(() => {})
  })
  await it.noted('message')
  assert.equal(files, undefined)
  const loaded = await run(() => performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname))
  assert.deepEqual(loaded.filter((path) => path.startsWith('/dist/')), ['/dist/ssekit.js'])
})

test('importing the package loads no engine; the first connection does', async () => {
  three('/lazy')
  await loadPackage(it.page)
  const loaded = () => run(() => performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname))
  await run(() => void ssekit.source('/lazy').select('x').json())
  assert.ok(!(await loaded()).includes('/dist/engine.js'))
  await run(() => void watch('/lazy'))
  await it.noted('message')
  assert.ok((await loaded()).includes('/dist/engine.js'))
})
