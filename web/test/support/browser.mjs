import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach } from 'node:test'
import { startChromium } from './chromium.mjs'
import { startFixture } from './fixture.mjs'
import { BLANK, startSite } from './site.mjs'
import { until } from './until.mjs'

/**
 * What the tests of a file share: one Chromium, one scripted site, and the Rust server if it is asked for. Each test
 * has a context (a profile) and a page of its own, and fails when a page has reported an error that it did not expect:
 * `it.errors` holds their texts.
 *
 * @param {{ fixture?: boolean, flags?: string[] }} [options]
 */
export function inChromium({ fixture = false, flags = [] } = {}) {
  const it = { errors: [] }
  before(async () => {
    it.browser = await startChromium(flags)
    it.site = await startSite()
    it.site.page('/blank', BLANK)
    if (fixture) it.fixture = await startFixture()
  })
  after(async () => {
    await it.browser?.close()
    await it.fixture?.stop()
    await it.site?.stop()
  })
  beforeEach(async () => {
    it.errors.length = 0
    it.context = await it.browser.newContext()
    it.context.setDefaultTimeout(15_000)
    it.page = await it.newPage()
  })
  afterEach(async () => {
    await it.context.close()
    assert.deepEqual(it.errors, [], 'the page reported errors')
  })
  /** A page of this test's profile, at this address, with the package as `ssekit` and `note`, `watch` of `page.js`. */
  it.newPage = async (url = `${it.site.url}/blank`) => {
    const page = await it.context.newPage()
    page.on('pageerror', (error) => it.errors.push(error.message ?? String(error)))
    await page.goto(url)
    return page
  }
  /** A frame of a page, with these attributes. */
  it.newFrame = async (attributes = {}, page = it.page) => {
    const element = await page.evaluateHandle(
      (attributes) => document.body.appendChild(Object.assign(document.createElement('iframe'), attributes)),
      attributes,
    )
    const frame = await element.contentFrame()
    await frame.waitForLoadState()
    return frame
  }
  /** A page of the Rust server's own origin. */
  it.fixturePage = () => it.newPage(blankPageOf(it.fixture))
  /** Waits until the page has noted at least so many of a kind, and gives all of that kind. */
  it.noted = (kind, count = 1, page = it.page) => noted(page, kind, count)
  return it
}

/** The address of the Rust server's page without anything. */
export function blankPageOf(fixture) {
  return `${fixture.url}/test/support/blank.html`
}

/** Gives the page `note` and `notes` of `page.js`; nothing is noted yet. */
export async function loadNotes(page) {
  await page.evaluate(async () => {
    Object.assign(globalThis, await import('/test/support/page.js'))
    notes.length = 0
  })
}

/** Gives the page the package as `ssekit`, and `watch(from, options)`, which leaves the source it opens as `source`. */
export async function loadPackage(page, module = '/dist/index.js') {
  await loadNotes(page)
  await page.evaluate(async (module) => {
    const { watch } = globalThis
    const ssekit = await import(module)
    const open = (from, options) => Object.assign(globalThis, watch(ssekit, from, options)).source
    Object.assign(globalThis, { ssekit, watch: open })
  }, module)
}

/** Waits until the page has noted at least so many of a kind, and gives all of that kind. */
export function noted(page, kind, count = 1) {
  return until(async () => {
    const notes = await notesOf(page, kind)
    return notes.length >= count && notes
  }, `${count} × ${kind} noted by the page`)
}

/** What the page has noted so far of a kind; of all kinds as `[kind, value]`. */
export function notesOf(page, kind) {
  return page.evaluate(
    (kind) => (kind === undefined ? notes : notes.filter(([each]) => each === kind).map(([, value]) => value)),
    kind,
  )
}

/** Shows or hides a page, as far as it can tell. */
export function showPage(page, visible) {
  return page.evaluate((state) => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state })
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => state === 'hidden' })
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))
  }, visible ? 'visible' : 'hidden')
}
