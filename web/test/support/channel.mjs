import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadPackage, notesOf } from './browser.mjs'
import { startFixture } from './fixture.mjs'
import { until } from './until.mjs'

/** Starts the Rust server with a channel that outlives it. */
export async function startChannel() {
  const folder = await mkdtemp(join(tmpdir(), 'ssekit-'))
  const server = await startFixture({ log: join(folder, 'log') })
  return {
    server,
    async stop() {
      await server.stop()
      await rm(folder, { recursive: true })
    },
  }
}

/** Lets a page listen to the channel, and waits until it is open. */
export async function listen(page, options = {}) {
  await loadPackage(page)
  await page.evaluate((options) => {
    const reconnect = { delay: 50, minDelay: 10, jitter: false }
    void watch('/channel', { select: ['news'], method: 'GET', reconnect, ...options })
  }, options)
  await until(async () => (await notesOf(page, 'state')).at(-1) === 'open', 'the page listens')
}

/** Publishes the numbers after this one, one after the other, until it is stopped; gives the last one then. */
export function publishing(server, last = 0) {
  let going = true
  const done = (async () => {
    while (going) await server.publish('news', ++last)
    return last
  })()
  // A test that has failed does not wait for it.
  done.catch(() => {})
  return {
    /** Waits until so many more were published. */
    more: (count, from = last) => until(() => last >= from + count, `${count} more events`),
    stop: () => {
      going = false
      return done
    },
  }
}

/** The numbers that a page's callback has been told of; its store, if the kind is `value`. */
export function numbersOf(page, kind = 'message') {
  return page.evaluate((kind) => {
    const data = notes.filter(([each]) => each === kind).map(([, value]) => value.at(-1))
    return data.filter((text) => text !== '').map(Number)
  }, kind)
}

/** Waits until each page has been told of an event: before that it has no id to resume after. */
export async function heard(pages) {
  for (const page of pages) await until(async () => (await numbersOf(page)).length > 0, 'an event in each page')
}

/** Waits for the last number in a page; it must have seen every one before it once, from the first on. */
export async function sawAll(page, last, first) {
  await until(async () => (await numbersOf(page)).at(-1) === last, `event ${last} in the page`)
  const seen = await numbersOf(page)
  const from = first ?? seen[0]
  assert.deepEqual(seen, Array.from({ length: last - from + 1 }, (_, index) => from + index))
  assert.deepEqual(await numbersOf(page, 'value'), seen, 'stores get what callbacks get')
}
