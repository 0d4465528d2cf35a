// `examples/leptos`: a page of Leptos whose signals are events, by the Rust client in WebAssembly.
import assert from 'node:assert/strict'
import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { inChromium } from '../support/browser.mjs'
import { cache, cacheUrl, repository } from '../support/paths.mjs'
import { until } from '../support/until.mjs'

const it = inChromium({ fixture: true })

before(() => {
  const built = join(repository, 'examples/leptos/dist')
  assert.ok(existsSync(join(built, 'page.js')), `there is no ${built}/page.js: run \`cargo xtask pages\``)
  cpSync(built, join(cache, 'leptos'), { recursive: true })
})

const open = () => it.newPage(`${it.fixture.url}${cacheUrl}/leptos/index.html`)
const status = (page, text) => page.getByRole('status').getByText(text).waitFor()
const time = (page) => page.locator('time[datetime]').getAttribute('datetime')
const figure = async (page, name) => Number(await page.locator(`[data-figure=${name}]`).innerText())
const ticks = async (page) => {
  const before = await time(page)
  await until(async () => (await time(page)) > before, 'a later time')
}

test('clock and figures are live, over one connection of each page', async () => {
  const page = await open()
  await status(page, /^live$/)
  await ticks(page)
  const off = Math.abs(Date.now() - Date.parse(await time(page)))
  assert.ok(off < 5_000, `the clock is ${off} ms off`)
  await it.fixture.untilOpen(1)
  await until(async () => (await figure(page, 'open')) === 1, 'one stream')
  const other = await open()
  await until(async () => (await figure(page, 'open')) === 2, 'two streams')
  await other.close()
  await until(async () => (await figure(page, 'open')) === 1, 'one stream again')
  assert.equal(await figure(page, 'opened'), 2)
})

test('it shows the status: closed and opened again by its user, and while the server restarts', async () => {
  const page = await open()
  await status(page, /^live$/)
  await page.getByRole('button', { name: 'Close' }).click()
  await status(page, 'closed by this client')
  await it.fixture.untilOpen(0)
  await page.getByRole('button', { name: 'Connect' }).click()
  await status(page, /^live$/)
  await ticks(page)

  await it.fixture.kill()
  await status(page, /^trying again: /)
  await it.fixture.start()
  await status(page, /^live$/)
  await ticks(page)
  await until(async () => (await figure(page, 'opened')) === 1, 'the figures of the new server')
})
