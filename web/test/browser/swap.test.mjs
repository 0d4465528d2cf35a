// A component that replaces another one which listens to the same: the connection stays, though each has a source of its own.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inChromium, loadPackage, noted, notesOf } from '../support/browser.mjs'
import { begin, event } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()

for (const [name, options] of [
  ['a connection of this page', {}],
  ['a connection for all tabs', { tabs: true, key: 'ada' }],
]) {
  test(name, async () => {
    const streams = []
    it.site.on('/swap', (_request, response) => {
      begin(response)
      streams.push(response)
    })
    const send = (data) => streams.forEach((stream) => stream.write(event({ data })))
    await loadPackage(it.page)
    await it.page.evaluate(async (options) => {
      const { watch } = await import('/test/support/page.js')
      globalThis.mount = () => watch(ssekit, '/swap', options)
      globalThis.mounted = mount()
    }, options)
    for (const [round, swap] of [
      () => {
        mounted.leave()
        mounted = mount()
      },
      // A framework may render the new one in a microtask.
      () => {
        mounted.leave()
        queueMicrotask(() => (mounted = mount()))
      },
      () => {
        const { leave } = mounted
        mounted = mount()
        leave()
      },
    ].entries()) {
      await until(() => streams.length, 'a stream')
      send(`before ${round}`)
      await until(async () => (await notesOf(it.page, 'message')).at(-1)?.[2] === `before ${round}`, 'the event before')
      await it.page.evaluate(`(${swap})()`)
      await noted(it.page, 'close', round + 1)
      send(`after ${round}`)
      await until(async () => (await notesOf(it.page, 'message')).at(-1)?.[2] === `after ${round}`, 'the event after')
    }
    const texts = [0, 1, 2].flatMap((round) => [`before ${round}`, `after ${round}`])
    assert.deepEqual((await notesOf(it.page, 'message')).map(([, , data]) => data), texts)
    const [seen, ...more] = it.site.asked('/swap')
    assert.deepEqual([more.length, seen.gone], [0, false])
    await it.page.evaluate(() => mounted.leave())
    await until(() => seen.gone, 'the end of the stream when the last one has left')
    assert.deepEqual((await notesOf(it.page, 'close')).map(({ reason }) => reason), Array(4).fill('unsubscribed'))
  })
}
