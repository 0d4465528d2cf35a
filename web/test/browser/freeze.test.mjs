// Pages that the browser freezes to save memory, and thaws.
import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { blankPageOf, noted, notesOf } from '../support/browser.mjs'
import { heard, listen, numbersOf, publishing, sawAll, startChannel } from '../support/channel.mjs'
import { startDevTools } from '../support/devtools.mjs'
import { until } from '../support/until.mjs'

let browser
let channel
before(async () => (browser = await startDevTools()))
after(() => browser?.close())
beforeEach(async () => (channel = await startChannel()))
afterEach(() => channel.stop())

/** A page that notes when it is frozen, and listens to the channel. */
async function open(options) {
  const page = await browser.open(blankPageOf(channel.server))
  await listen(page, options)
  await page.evaluate(() => {
    for (const kind of ['freeze', 'resume']) document.addEventListener(kind, () => note(kind, ''))
  })
  return page
}

test('a page that was frozen goes on where it was', async () => {
  const page = await open()
  const publisher = publishing(channel.server)
  await publisher.more(20)
  await heard([page])
  await page.freeze()
  await publisher.more(20)
  await page.thaw()
  await publisher.more(20)
  await sawAll(page, await publisher.stop(), 1)
  assert.equal((await notesOf(page, 'freeze')).length, 1)
  assert.equal((await notesOf(page, 'resume')).length, 1)
  assert.equal((await notesOf(page, 'close')).length, 0)
})

test('a page goes on though its server was killed and started again while it was frozen', async () => {
  const page = await open()
  for (let number = 1; number <= 5; number++) await channel.server.publish('news', number)
  await sawAll(page, 5, 1)
  await page.freeze()
  await channel.server.kill()
  await channel.server.start()
  for (let number = 6; number <= 10; number++) await channel.server.publish('news', number)
  await page.thaw()
  await sawAll(page, 10, 1)
})

test('the leading tab is frozen while events come: the others miss none, and thawed it misses none either', async () => {
  const leader = await open({ tabs: true, key: 'news' })
  const rest = [await open({ tabs: true, key: 'news' }), await open({ tabs: true, key: 'news' })]
  const publisher = publishing(channel.server)
  await publisher.more(20)
  await heard([leader, ...rest])
  await leader.freeze()
  await publisher.more(20)
  const before = await publisher.stop()
  for (const page of rest) await sawAll(page, before, 1)
  await leader.thaw()
  for (let number = before + 1; number <= before + 10; number++) await channel.server.publish('news', number)
  for (const page of [leader, ...rest]) await sawAll(page, before + 10, 1)
  await channel.server.untilOpen(1)
})

test('a tab that does not lead is frozen and thawed: it misses nothing', async () => {
  const [leader, other] = [await open({ tabs: true, key: 'news' }), await open({ tabs: true, key: 'news' })]
  const publisher = publishing(channel.server)
  await publisher.more(20)
  await heard([leader, other])
  await other.freeze()
  await publisher.more(20)
  await other.thaw()
  await publisher.more(20)
  const last = await publisher.stop()
  for (const page of [leader, other]) await sawAll(page, last, 1)
})

test('a tab that stood still for longer than the others keep events gets an error for the missed ones, and goes on', async () => {
  const [leader, other] = [await open({ tabs: true, key: 'news' }), await open({ tabs: true, key: 'news' })]
  const megabyte = ' '.repeat(1 << 20)
  for (let number = 1; number <= 3; number++) await channel.server.publish('news', number)
  for (const page of [leader, other]) await sawAll(page, 3, 1)
  await other.freeze()
  for (let number = 4; number <= 9; number++) await channel.server.publish('news', number + megabyte)
  await sawAll(leader, 9, 1)
  await other.thaw()
  const [error] = await noted(other, 'error')
  assert.equal(error.error.code, 'read')
  assert.match(error.error.message, /passed/)
  await channel.server.publish('news', 10)
  await until(async () => (await numbersOf(other)).at(-1) === 10, 'the next event')
  const seen = await numbersOf(other)
  assert.ok(seen.every((number, index) => index === 0 || number > seen[index - 1]), `${seen}`)
})
