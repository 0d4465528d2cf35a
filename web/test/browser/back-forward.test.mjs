// A page that the browser keeps when it is left, and shows again as it was: the back-forward cache.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { loadPackage, noted, notesOf } from '../support/browser.mjs'
import { startChromium } from '../support/chromium.mjs'
import { BLANK, startSite, streaming } from '../support/site.mjs'
import { until } from '../support/until.mjs'

let browser
let site
before(async () => {
  // The driver switches the cache off unless told not to.
  browser = await startChromium([], { ignoreDefaultArgs: ['--disable-back-forward-cache'] })
  site = await startSite()
  site.page('/blank', BLANK)
  site.page('/elsewhere', BLANK)
})
after(async () => {
  await browser?.close()
  await site?.stop()
})

for (const tabs of [false, true]) {
  test(`left and returned to, a page goes on after its last event (tabs: ${tabs})`, async () => {
    site.on('/events', streaming({ id: 1, data: 'one' }), streaming({ id: 2, data: 'two' }))
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(`${site.url}/blank`)
    await loadPackage(page)
    await page.evaluate((tabs) => {
      addEventListener('pageshow', ({ persisted }) => note('shown', persisted))
      watch('/events', { tabs, reconnect: { delay: 20, minDelay: 1 } })
    }, tabs)
    await noted(page, 'message')
    await page.goto(`${site.url}/elsewhere`)
    await until(() => site.asked('/events')[0].gone, 'the stream of a page that was left is closed')
    // The page's load event does not come again.
    await page.goBack({ waitUntil: 'commit' })
    assert.deepEqual(await noted(page, 'shown'), [true], 'the page was kept')
    assert.deepEqual(await noted(page, 'message', 2), [['1', 'message', 'one'], ['2', 'message', 'two']])
    assert.deepEqual(site.asked('/events').map(({ headers }) => headers['last-event-id']), [undefined, '1'])
    assert.equal((await notesOf(page, 'close')).length, 0)
    await context.close()
  })
}
