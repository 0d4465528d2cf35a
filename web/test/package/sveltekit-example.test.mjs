// `examples/sveltekit` in both its variants: with `produce`, and before its Rust server.

import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { join } from 'node:path'
import { cargoProgram, makeApp } from '../support/app.mjs'
import { inChromium } from '../support/browser.mjs'
import { repository } from '../support/paths.mjs'
import { freePort, startProgram } from '../support/program.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()
const visitors = []
let app

before(async () => {
  app = await makeApp('example', { from: join(repository, 'examples/sveltekit') })
  await app.run('vite', 'build')
})

afterEach(() => Promise.all(visitors.splice(0).map((visitor) => visitor.close())))

test('its types are right', async () => {
  await app.run('svelte-kit', 'sync')
  await app.run('svelte-check', '--fail-on-warnings')
})

describe('with produce', () => {
  plays(async () => {
    const port = await freePort()
    const env = { HOST: '127.0.0.1', PORT: `${port}` }
    const start = () => startProgram([process.execPath, 'build'], { cwd: app.folder, env, ready: /^Listening on/ })
    return { url: `http://127.0.0.1:${port}`, start }
  })
})

describe('before its Rust server', () => {
  let proxy
  plays(async () => {
    const [port, rust] = [await freePort(), await freePort()]
    const preview = ['preview', '--mode', 'rust', '--host', '127.0.0.1', '--port', `${port}`, '--strictPort']
    const env = { RUST_SERVER: `http://127.0.0.1:${rust}` }
    proxy = await app.start(['vite', ...preview], { env, ready: /Local:/ })
    const server = cargoProgram('ssekit-example-sveltekit')
    const start = () => startProgram([server, `127.0.0.1:${rust}`], { ready: /^listening on/ })
    return { url: `http://127.0.0.1:${port}`, start }
  })
  after(() => proxy?.stop())
})

/** What must hold in both. `prepare` gives the address of the pages, and how the server that sends the events is started. */
function plays(prepare) {
  let url, start, server

  before(async () => {
    ;({ url, start } = await prepare())
    server = await start()
  })
  after(() => server?.kill())

  const open = () => it.newPage(url)
  /** Each visitor has a browser of their own. */
  const enter = async (name) => {
    const visitor = await it.browser.newContext()
    visitors.push(visitor)
    const page = await visitor.newPage()
    page.on('pageerror', (error) => it.errors.push(error.message))
    await page.goto(url)
    await page.getByLabel('Your name').fill(name)
    await page.getByRole('button', { name: 'Come in' }).click()
    return page
  }
  const message = (page) => page.getByLabel('Message', { exact: true })
  const inside = (page) => message(page).waitFor()
  const waiting = (page, place) => page.locator(`[data-place="${place}"]`).waitFor()
  const say = async (page, text) => {
    await message(page).fill(text)
    await page.getByRole('button', { name: 'Send' }).click()
  }
  const sees = (page, text) => page.getByLabel('Messages').getByText(text, { exact: true }).waitFor()
  /** Waits until so many of the page's three connections are live. */
  const live = (page, wanted, within) =>
    until(
      async () => {
        const states = await page.getByRole('status').allInnerTexts()
        if (states.filter((state) => state === 'live').length !== wanted) throw new Error(states.join(', '))
        return true
      },
      `${wanted} connections that are live`,
      within,
    )
  const time = (page) => page.locator('time[datetime]').getAttribute('datetime')
  const ticks = async (page) => {
    const before = await time(page)
    await until(async () => (await time(page)) > before, 'a later time')
  }

  test('the clock moves', async () => {
    const page = await open()
    await ticks(page)
    const ahead = Math.abs(Date.now() - Date.parse(await time(page)))
    assert.ok(ahead < 5_000, `the clock is ${ahead} ms off`)
  })

  test('the figures are numbers, and the chart is drawn', async () => {
    const page = await open()
    const figure = (name) => page.locator(`[data-figure=${name}]`).innerText()
    await until(async () => /^\d+\.\d$/.test(await figure('cpu')), 'the load of the processor')
    assert.ok(Number(await figure('cpu')) <= 100)
    assert.ok(Number(await figure('memory')) > 0)
    const points = () => page.locator('polyline').getAttribute('points', { timeout: 15_000 })
    const before = (await points()).split(' ').length
    await until(async () => (await points()).split(' ').length > before, 'one more point')
    assert.match(await points(), /^(-?[\d.]+,[\d.]+ ?)+$/)
  })

  test('eight tabs of one browser are live, which opens six connections at most', async () => {
    const tabs = []
    while (tabs.length < 8) tabs.push(await open())
    for (const tab of tabs) await ticks(tab)
  })

  test('two talk; a third waits while the room is full, and enters when somebody leaves; all return after a restart', async () => {
    const ada = await enter('Ada')
    await inside(ada)
    const grace = await enter('Grace')
    await inside(grace)
    await say(ada, 'Is anybody here?')
    await sees(grace, 'Is anybody here?')
    await say(grace, 'I am.')
    await sees(ada, 'I am.')

    const alan = await enter('Alan')
    await inside(alan)
    await sees(alan, 'I am.')
    const edsger = await enter('Edsger')
    await waiting(edsger, 1)
    const kurt = await enter('Kurt')
    await waiting(kurt, 2)
    assert.equal(await message(kurt).count(), 0)

    await ada.getByRole('button', { name: 'Leave' }).click()
    await inside(edsger)
    await sees(edsger, 'Is anybody here?')
    await waiting(kurt, 1)
    await grace.close() // her browser's only tab
    await inside(kurt)
    await say(kurt, 'At last.')
    await sees(edsger, 'At last.')

    await server.kill()
    await live(kurt, 0)
    server = await start()
    // The pages ask again after some seconds, the longer the server was away.
    await live(kurt, 3, 60_000)
    await live(edsger, 3, 60_000)
    await ticks(kurt)
    await say(kurt, 'Back again.')
    await sees(edsger, 'Back again.')
  })
}
