// Stores, connections and what is shared between them: `source`, `select`, `json` and `transform` in a page.
// The numbers are those of the table in `decisions.test.mjs`.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { inChromium, loadPackage, notesOf } from '../support/browser.mjs'
import { bundleSvelteStores } from '../support/original.mjs'
import { begin, event, streaming } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()
let svelte
before(async () => (svelte = await bundleSvelteStores()))

/** Answers `path` with streams that the test feeds: `send(…events)` writes to all that are open. */
function feed(path = '/feed') {
  const open = new Set()
  it.site.on(path, (_request, response) => {
    begin(response)
    open.add(response)
    response.on('close', () => open.delete(response))
  })
  return {
    open,
    asked: () => it.site.asked(path),
    /** Waits until so many streams are open. */
    untilOpen: (count) => until(() => open.size === count, `${count} open streams`),
    send: (...events) => open.forEach((response) => response.write(events.map((each) => event(each)).join(''))),
  }
}

const run = (script, argument) => it.page.evaluate(script, argument)

test('3.1 the first values are the same with and without a page, and ask nobody', async () => {
  const first = (ssekit, asked) => {
    const select = ssekit.source('http://127.0.0.1:9/nowhere', { fetch: () => asked.push('fetch') }).select('x')
    const json = select.json(() => asked.push('or'))
    const transform = select.transform(() => asked.push('fn'))
    return [select.get(), json.get(), transform.get()]
  }
  const asked = []
  const onServer = await import('../../dist/index.js')
  assert.deepEqual(first(onServer, asked), ['', null, null])
  await loadPackage(it.page)
  assert.deepEqual(await run(`(${first})(ssekit, [])`), ['', null, null])
  // Subscribing connects in a page alone.
  const values = []
  const source = onServer.source('http://127.0.0.1:9/nowhere', { fetch: () => asked.push('fetch') })
  source.select('x').subscribe((value) => values.push(value))
  await new Promise((turn) => setImmediate(turn))
  assert.deepEqual([values, asked], [[''], []])
})

test('3.2 nothing connects until somebody subscribes, iterates or asks for it', async () => {
  const ways = {
    subscribe: (source) => source.select('x').subscribe(() => {}),
    json: (source) => source.select('x').json().subscribe(() => {}),
    transform: (source) => source.select('x').transform(() => 1).subscribe(() => {}),
    iterate: (source) => void source[Symbol.asyncIterator]().next(),
    'iterate a name': (source) => void source.select('x')[Symbol.asyncIterator]().next(),
    connect: (source) => source.connect(),
  }
  await loadPackage(it.page)
  for (const [name, way] of Object.entries(ways)) {
    const path = `/lazy-${name.replaceAll(' ', '-')}`
    const feeding = feed(path)
    await run((path) => {
      globalThis.lazy = ssekit.source(path)
      globalThis.lazy.select('x').json()
      return fetch('/blank') // whatever was to be asked has been asked before this
    }, path)
    assert.equal(feeding.asked().length, 0, name)
    await run(`(${way})(lazy)`)
    await feeding.untilOpen(1)
    await run(() => globalThis.lazy.close())
    await feeding.untilOpen(0)
  }
})

test('3.3 sources of one request share a connection, and the callbacks of all are called', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => {
    const headers = { 'x-one': '1', 'x-two': '2' }
    const others = { 'X-Two': '2', 'X-One': '1' }
    watch('/feed', { headers, select: ['x'] })
    watch(new URL('/feed', location.href), { headers: new Headers(others), select: ['x', 'y'] })
    watch('/feed', { headers: Object.entries(others), share: true })
    globalThis.different = [
      watch('/feed', { headers: { ...headers, 'x-two': '3' } }),
      watch('/feed', { headers, key: 'ada' }),
      watch('/feed', { headers, method: 'GET' }),
    ].length
  })
  await feeding.untilOpen(4)
  assert.equal(feeding.asked().length, 4)
})

test('3.3 a request with a body is never shared: two equal questions get two answers', async () => {
  const feeding = feed('/answers')
  await loadPackage(it.page)
  await run(() => {
    const body = '{"prompt":"hello"}'
    watch('/answers', { body })
    watch('/answers', { body })
    watch('/answers', { options: { body }, key: 'same', tabs: true })
  })
  await feeding.untilOpen(3)
  assert.deepEqual(feeding.asked().map(({ body }) => body), Array(3).fill('{"prompt":"hello"}'))
})

test('3.3 every source that shares a connection is called; one that does not is not', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => {
    for (const name of ['a', 'b']) {
      ssekit
        .source('/feed', {
          onopen: () => note('open', name),
          onmessage: ({ data }) => note('message', [name, data]),
          onclose: () => note('close', name),
        })
        .select('x')
        .subscribe((value) => note('value', [name, value]))
    }
    ssekit.source('/feed', { share: false, onopen: () => note('open', 'own') }).connect()
  })
  await feeding.untilOpen(2)
  feeding.send({ event: 'x', data: 'hello' })
  assert.deepEqual((await it.noted('message', 2)).sort(), [['a', 'hello'], ['b', 'hello']])
  assert.deepEqual((await it.noted('open', 3)).sort(), ['a', 'b', 'own'])
  const values = await it.noted('value', 4)
  assert.deepEqual(values.map(String).sort(), ['a,', 'a,hello', 'b,', 'b,hello'])
})

test('3.3 the options of fetch make a difference: credentials, and a function for headers', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => {
    const open = (options) => ssekit.source('/feed', options).connect()
    open({})
    open({ credentials: 'omit' })
    open({ headers: () => ({ 'x-asked': 'anew' }) })
  })
  await feeding.untilOpen(3)
  assert.deepEqual(feeding.asked().map(({ headers }) => headers['x-asked']).filter(Boolean), ['anew'])
})

test('3.4 a source that is asked for after the shared connection was closed is alive', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => {
    watch('/feed', { select: ['x'] })
  })
  await feeding.untilOpen(1)
  await run(() => globalThis.source.close())
  await feeding.untilOpen(0)
  await run(() => {
    ssekit.source('/feed').select('x').subscribe((value) => note('again', value))
  })
  await feeding.untilOpen(1)
  feeding.send({ event: 'x', data: 'alive' })
  assert.equal((await it.noted('again', 2)).at(-1), 'alive')
})

test('3.5 a name with a line break is refused', async () => {
  await loadPackage(it.page)
  for (const name of ['a\nb', 'a\rb']) {
    const message = await run((name) => {
      try {
        ssekit.source('/feed').select(name)
      } catch (error) {
        return error.message
      }
    }, name)
    assert.equal(message, `The name of the event must not contain new line characters, received "${name}"`)
  }
})

test('3.6 a store gets every event of its name, also an empty one and equal ones', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => void watch('/feed', { select: ['x', 'message'] }))
  await feeding.untilOpen(1)
  const texts = ['', 'a', 'a', 'b', 'b', '']
  feeding.send(...texts.flatMap((data) => [{ event: 'x', data }, { event: 'X', data: 'other' }, { data: 'unnamed' }]))
  await it.noted('value', 2 + 2 * texts.length)
  const values = await notesOf(it.page, 'value')
  const of = (name) => values.filter(([each]) => each === name).map(([, value]) => value)
  assert.deepEqual(of('x'), ['', ...texts])
  assert.deepEqual(of('message'), ['', ...texts.map(() => 'unnamed')])
})

test('3.7 json: `or` is asked for messages that came, with the last value that was one', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => {
    const json = ssekit.source('/feed').select('x').json(({ error, raw, previous }) => {
      note('or', [error.name, raw, previous])
      return 'mended'
    })
    json.subscribe((value) => note('json', value))
    ssekit.source('/feed').select('x').json().subscribe((value) => note('plain', value))
  })
  await feeding.untilOpen(1)
  feeding.send(...['{"n":1}', '{"n":', '', '2', 'nothing'].map((data) => ({ event: 'x', data })))
  assert.deepEqual(await it.noted('json', 6), [null, { n: 1 }, 'mended', 'mended', 2, 'mended'])
  const errors = [['SyntaxError', '{"n":', { n: 1 }], ['SyntaxError', '', { n: 1 }], ['SyntaxError', 'nothing', 2]]
  assert.deepEqual(await notesOf(it.page, 'or'), errors)
  const plain = await notesOf(it.page, 'plain')
  assert.deepEqual(plain.filter((value) => value !== null), [{ n: 1 }, 2])
})

test('3.8 transform: null, then the result of the function for every message, equal ones too', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => {
    const transform = ssekit.source('/feed').select('x').transform((text) => text.length)
    transform.subscribe((value) => note('length', value))
  })
  await feeding.untilOpen(1)
  feeding.send(...['', 'a', 'b', 'cd'].map((data) => ({ event: 'x', data })))
  assert.deepEqual(await it.noted('length', 5), [null, 0, 1, 1, 2])
})

test('3.9 stores keep their last value, give it to returning subscribers, and transform nothing twice', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => {
    const select = ssekit.source('/feed').select('x')
    const transform = select.transform((text) => {
      note('transformed', text)
      return `<${text}>`
    })
    globalThis.come = () => {
      const leaves = [select.subscribe((value) => note('x', value)), transform.subscribe((value) => note('t', value))]
      globalThis.go = () => leaves.forEach((leave) => leave())
    }
    globalThis.come()
  })
  await feeding.untilOpen(1)
  feeding.send({ event: 'x', data: 'one' })
  await it.noted('t', 2)
  await run(() => globalThis.go())
  await feeding.untilOpen(0)
  await run(() => globalThis.come())
  await feeding.untilOpen(1)
  feeding.send({ event: 'x', data: 'two' })
  assert.deepEqual(await it.noted('x', 4), ['', 'one', 'one', 'two'])
  assert.deepEqual(await it.noted('t', 4), [null, '<one>', '<one>', '<two>'])
  assert.deepEqual(await notesOf(it.page, 'transformed'), ['one', 'two'])
})

test('3.10 a connection closes when the last of all its subscribers has left, and opens for the next', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => {
    watch('/feed', { select: ['x', 'y'] })
    globalThis.reader = ssekit.source('/feed')[Symbol.asyncIterator]()
    void globalThis.reader.next()
  })
  await feeding.untilOpen(1)
  feeding.send({ event: 'z', data: 'for the iterator' })
  await it.noted('message')
  await run(() => globalThis.leaves.shift()())
  feeding.send({ event: 'y', data: 'still here' })
  assert.deepEqual((await it.noted('value', 3)).at(-1), ['y', 'still here'])
  await run(() => globalThis.leave())
  feeding.send({ event: 'y', data: 'for the iterator' })
  const read = await run(async () => (await globalThis.reader.next()).value)
  assert.deepEqual([read.event, read.data], ['y', 'still here'])
  assert.equal(feeding.open.size, 1)
  await run(() => void globalThis.reader.return())
  await feeding.untilOpen(0)
  const [close] = await it.noted('close')
  assert.deepEqual([close.reason, close.isLocal], ['unsubscribed', true])
  await run(() => void globalThis.source.select('y').subscribe((value) => note('back', value)))
  await feeding.untilOpen(1)
  feeding.send({ event: 'y', data: 'again' })
  assert.deepEqual(await it.noted('back', 2), ['still here', 'again'])
})

test('3.11 to close a source that is not open does nothing', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => {
    ssekit.source('/feed', { onclose: () => note('close', 'early') }).close()
    watch('/feed', { select: ['x'] })
  })
  await feeding.untilOpen(1)
  feeding.send({ event: 'x', data: 'one' })
  await it.noted('message')
  await run(() => globalThis.source.close())
  await feeding.untilOpen(0)
  assert.deepEqual(await notesOf(it.page, 'value'), [['x', ''], ['x', 'one']])
  assert.equal(await run(() => globalThis.source.select('x').get()), 'one')
  assert.equal((await notesOf(it.page, 'close')).length, 1)
})

test('3.12 the stores are stores to Svelte: derived, get, and runes by fromStore', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(async (svelte) => {
    const { derived, fromStore, get } = await import(svelte)
    const select = ssekit.source('/feed').select('x')
    const both = derived([select, select.json()], ([text, value]) => [text, value])
    globalThis.leave = both.subscribe((value) => note('both', value))
    globalThis.current = () => [get(select), fromStore(select).current]
  }, svelte)
  await feeding.untilOpen(1)
  feeding.send({ event: 'x', data: '[1]' })
  await until(async () => (await notesOf(it.page, 'both')).at(-1)?.[1]?.[0] === 1, 'the derived value')
  assert.deepEqual((await notesOf(it.page, 'both')).at(-1), ['[1]', [1]])
  assert.deepEqual(await run(() => globalThis.current()), ['[1]', '[1]'])
  await run(() => globalThis.leave())
  await feeding.untilOpen(0)
})

test('3.13 a store subscriber that throws disturbs neither the others nor the stream', async () => {
  const feeding = feed()
  await loadPackage(it.page)
  await run(() => {
    const select = ssekit.source('/feed', { onerror: ({ error }) => note('error', error.code) }).select('x')
    select.subscribe((value) => {
      if (value === 'one') throw new Error('of the subscriber')
    })
    select.subscribe((value) => note('x', value))
  })
  await feeding.untilOpen(1)
  feeding.send({ event: 'x', data: 'one' }, { event: 'x', data: 'two' })
  assert.deepEqual(await it.noted('x', 3), ['', 'one', 'two'])
  assert.deepEqual(await it.noted('error'), ['callback'])
  assert.equal(feeding.open.size, 1)
  assert.equal(it.errors.splice(0).filter((error) => error.includes('of the subscriber')).length, 1)
})

test('3.14 an iterator reads every event of any name in order, and of one name by select', async () => {
  const count = 300
  const events = Array.from({ length: count }, (_, n) => ({ id: n + 1, event: n % 3 ? 'x' : 'y', data: `${n}` }))
  it.site.on('/all', streaming(...events))
  await loadPackage(it.page)
  const read = await run(async (count) => {
    const all = []
    const ys = []
    const source = ssekit.source('/all')
    const some = (async () => {
      for await (const { data } of source.select('y')) if (ys.push(data) === count / 3) return
    })()
    for await (const { id, event, data } of source) if (all.push([id, event, data]) === count) break
    await some
    return { all, ys }
  }, count)
  assert.deepEqual(read.all, events.map(({ id, event, data }) => [`${id}`, event, data]))
  assert.deepEqual(read.ys, events.filter(({ event }) => event === 'y').map(({ data }) => data))
  await until(() => it.site.asked('/all').every(({ gone }) => gone), 'the connection is closed')
})

test('3.15 an iterator that lags gets the number of missed events, and goes on', async () => {
  it.site.on('/fast', streaming(...Array.from({ length: 20 }, (_, n) => ({ data: `${n}` })), { event: 'done', data: '' }))
  await loadPackage(it.page)
  await run(() => {
    const source = ssekit.source('/fast', { buffer: 5, onmessage: ({ event }) => note('event', event) })
    globalThis.reader = source[Symbol.asyncIterator]()
    globalThis.first = globalThis.reader.next()
  })
  await until(async () => (await notesOf(it.page, 'event')).at(-1) === 'done', 'all events have come')
  const read = await run(async () => {
    const seen = [(await globalThis.first).value.data]
    let lost = 0
    for (;;) {
      try {
        const { value } = await globalThis.reader.next()
        if (value.event === 'done') return { seen, lost }
        seen.push(value.data)
      } catch (error) {
        if (!(error instanceof ssekit.LaggedError)) throw error
        lost += error.lost
      }
    }
  })
  assert.equal(read.seen.length + read.lost, 20, JSON.stringify(read))
  assert.ok(read.lost > 0)
})
