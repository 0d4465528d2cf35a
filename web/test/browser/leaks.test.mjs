// What is opened a thousand times and closed again leaves nothing: no stream at the server, no growing heap in the page.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inChromium, loadPackage } from '../support/browser.mjs'

const it = inChromium({ fixture: true })

/** Opens and closes so many sources, four at a time, each once its first event has come; the next one when it has closed. */
const cycle = async ({ count, options }) => {
  const lane = async (number) => {
    for (let n = 0; n < count / 4; n++) {
      await new Promise((closed) => {
        const source = ssekit.source(`/clock?lane=${number}`, { ...options, onclose: () => closed() })
        const leave = source.select('message').subscribe((value) => {
          if (!value) return
          if (n % 2) source.close()
          queueMicrotask(() => leave())
        })
      })
    }
  }
  await Promise.all([0, 1, 2, 3].map(lane))
}

async function heapOf(page) {
  const session = await it.context.newCDPSession(page)
  await session.send('HeapProfiler.collectGarbage')
  const { usedSize } = await session.send('Runtime.getHeapUsage')
  await session.detach()
  return usedSize
}

for (const options of [{}, { tabs: true, key: 'news' }]) {
  test(`1,000 sources that were closed: ${JSON.stringify(options)}`, { timeout: 60_000 }, async (t) => {
    const page = await it.fixturePage()
    await loadPackage(page)
    const { opened: before } = await it.fixture.streams()
    await page.evaluate(cycle, { count: 200, options })
    const warm = await heapOf(page)
    await page.evaluate(cycle, { count: 800, options })
    await it.fixture.untilOpen(0)
    const grown = (await heapOf(page)) - warm
    t.diagnostic(`the heap has grown by ${grown} bytes in 800 cycles, from ${warm}`)
    assert.equal((await it.fixture.streams()).opened - before, 1000)
    assert.ok(grown < 800 * 512, `the heap has grown by ${grown} bytes in 800 cycles`)
  })
}
