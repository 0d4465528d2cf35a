import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach } from 'node:test'
import { startChromium } from './chromium.mjs'
import { startFixture } from './fixture.mjs'
import { BLANK, startSite } from './site.mjs'
import { until } from './until.mjs'

/**
 * What the tests of a file share: one Chromium, one scripted site, and the Rust server if it is asked for. Each test
 * has a context (a profile) and a page of its own, and fails when the page has reported an error that nobody expected.
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
    it.page = await it.newPage()
  })
  afterEach(async () => {
    await it.context.close()
    assert.deepEqual(it.errors, [], 'the page reported errors')
  })
  /** A page of this test's profile, at this address. */
  it.newPage = async (url = `${it.site.url}/blank`, context = it.context) => {
    const page = await context.newPage()
    page.on('pageerror', (error) => it.errors.push(String(error)))
    await page.goto(url)
    return page
  }
  /** A page of the Rust server's own origin. */
  it.fixturePage = (context) => it.newPage(`${it.fixture.url}/test/support/blank.html`, context)
  /** Waits until the page has noted at least so many of a kind, and gives all of that kind. */
  it.noted = (kind, count = 1, page = it.page) =>
    until(async () => {
      const notes = await notesOf(page, kind)
      return notes.length >= count && notes
    }, `${count} × ${kind} noted by the page`)
  return it
}

/** What the page has noted so far of a kind by `note(kind, value)`, or as `[kind, value]` of all kinds. */
export function notesOf(page, kind) {
  return page.evaluate((kind) => {
    const notes = globalThis.notes ?? []
    return kind === undefined ? notes : notes.filter(([each]) => each === kind).map(([, value]) => value)
  }, kind)
}

/** Gives the page `note(kind, value)`, and the package under test as `ssekit`. */
export async function loadPackage(page) {
  await page.evaluate(async () => {
    globalThis.notes = []
    globalThis.note = (kind, value) => void globalThis.notes.push([kind, value])
    globalThis.ssekit = await import('/dist/index.js')
  })
}

/** Gives the page `note(kind, value)` alone. */
export async function loadNotes(page) {
  await page.evaluate(() => {
    globalThis.notes = []
    globalThis.note = (kind, value) => void globalThis.notes.push([kind, value])
  })
}
