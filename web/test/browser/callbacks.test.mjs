// What a source tells, and when: open, message, error, close; what it tells of each cause, and that nothing follows.
// The numbers are those of the table in `decisions.test.mjs`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inChromium, loadPackage, notesOf } from '../support/browser.mjs'
import { begin, ending, event, refusing, reset, streaming } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()
const run = (script, argument) => it.page.evaluate(script, argument)
const FAST = { delay: 20, minDelay: 1, jitter: false }

/** Opens a source of `path` in the page, all of whose callbacks are noted. */
async function watch(path, options = {}) {
  await loadPackage(it.page)
  await run(([path, options]) => void watch(path, options), [path, options])
}

/** The kinds that were noted, but for states and values. */
async function told() {
  const notes = await notesOf(it.page)
  return notes.filter(([kind]) => kind !== 'state' && kind !== 'value').map(([kind]) => kind)
}

/** Lets an hour pass for the page's timers, and whatever they have begun reach the server. */
async function anHourLater() {
  await it.page.clock.runFor(3_600_000)
  await run(() => fetch('/blank').then(() => {}))
}

test('4.1 an event stream with any parameters of its content type calls the open callback', async () => {
  for (const type of ['text/event-stream', 'text/event-stream; charset=utf-8', 'Text/Event-Stream;charset=UTF-8']) {
    it.site.on('/types', (_request, response) => begin(response, { 'content-type': type, 'x-of': 'the answer' }))
    await loadPackage(it.page)
    const seen = await run(
      () =>
        new Promise((done) => {
          const source = ssekit.source('/types', {
            share: false,
            onopen: ({ id, event, name, data, isLocal, status, statusText, headers, response, error }) => {
              source.close()
              done({ id, event, name, data, isLocal, status, statusText, of: headers.get('x-of'), same: response?.status, error })
            },
          })
          source.connect()
        }),
    )
    const { statusText, name, event: type_, ...rest } = seen
    assert.deepEqual(rest, { id: '', data: '', isLocal: false, status: 200, of: 'the answer', same: 200, error: undefined })
    assert.equal(statusText, 'OK')
    assert.equal(name, type_)
  }
})

test('4.2 a refusal calls the error callback with status and text, then the close callback, once', async () => {
  it.site.on('/refused', refusing(403, { 'content-type': 'text/plain', 'x-of': 'the answer' }, 'members only'))
  await it.page.clock.install()
  await watch('/refused')
  const [close] = await it.noted('close')
  assert.deepEqual([close.isLocal, close.status, close.reason], [false, 403, 'failed'])
  const [error] = await notesOf(it.page, 'error')
  assert.deepEqual([error.error.code, error.error.status, error.error.body], ['status', 403, 'members only'])
  await anHourLater()
  assert.deepEqual(await told(), ['error', 'close'])
  assert.equal(it.site.asked('/refused').length, 1)
})

test('4.3 an answer of another type is refused, and no byte of it is decoded', async () => {
  const types = ['text/html', 'text/event-stream-not', 'application/json', '']
  for (const type of types) {
    it.site.on('/wrong', (_request, response) => {
      response.writeHead(200, type ? { 'content-type': type } : {}).end('data: no\n\n')
    })
    await watch('/wrong', { share: false })
    const [close] = await it.noted('close')
    assert.deepEqual([close.isLocal, close.status, close.reason], [false, 200, 'failed'], type)
    assert.equal((await notesOf(it.page, 'error'))[0].error.code, 'content-type')
    assert.deepEqual(await told(), ['error', 'close'])
  }
})

test('4.4 204 No Content ends it for good, and is no error of the server', async () => {
  it.site.on('/none', refusing(204))
  await it.page.clock.install()
  await watch('/none', { reconnect: 'standard' })
  const [close] = await it.noted('close')
  assert.deepEqual([close.isLocal, close.status, close.reason], [false, 204, 'no-content'])
  await anHourLater()
  assert.equal(it.site.asked('/none').length, 1)
})

test('4.5 a message goes to the callback, then to the stores, in the order of the stream', async () => {
  it.site.on('/order', streaming({ id: 7, event: 'x', data: 'one' }, { event: 'x', data: 'two' }))
  await watch('/order', { select: ['x'] })
  await it.noted('value', 3)
  const notes = (await notesOf(it.page)).filter(([kind]) => kind !== 'state')
  assert.deepEqual(notes.map(([kind]) => kind), ['value', 'open', 'message', 'value', 'message', 'value'])
  // The last event ID lasts until there is another.
  assert.deepEqual(await notesOf(it.page, 'message'), [['7', 'x', 'one'], ['7', 'x', 'two']])
  assert.equal(await run(() => globalThis.source.lastEventId), '7')
})

test('4.6 a stream that the server ends is closed, once, and not asked for again', async () => {
  it.site.on('/end', ending({ data: 'one' }))
  await it.page.clock.install()
  await watch('/end')
  const [close] = await it.noted('close')
  assert.deepEqual(close, { isLocal: false, status: 200, statusText: 'OK', reason: 'ended' })
  await run(() => globalThis.source.close())
  await run(() => globalThis.leave())
  await anHourLater()
  assert.deepEqual(await told(), ['open', 'message', 'close'])
  assert.equal(it.site.asked('/end').length, 1)
  assert.equal(await run(() => globalThis.source.status.get().state), 'closed')
})

test('4.7 one that the server has given a reconnection time is asked for again, and goes on', async () => {
  it.site.on('/again', ending({ retry: 20, id: 1, data: 'one' }), streaming({ id: 2, data: 'two' }))
  await watch('/again', { reconnect: { minDelay: 1 } })
  const messages = await it.noted('message', 2)
  assert.deepEqual(messages, [['1', 'message', 'one'], ['2', 'message', 'two']])
  assert.deepEqual(it.site.asked('/again').map(({ headers }) => headers['last-event-id']), [undefined, '1'])
  assert.equal((await notesOf(it.page, 'close')).length, 0)
})

test('4.8 a local close calls the callback once, at once, and nothing comes after it', async () => {
  it.site.on('/local', streaming({ retry: 10, data: 'one' }))
  await it.page.clock.install()
  await watch('/local')
  await it.noted('message')
  const during = await run(() => {
    globalThis.source.close()
    globalThis.source.close()
    globalThis.leave()
    return globalThis.source.status.get().state
  })
  assert.equal(during, 'closed')
  await until(() => it.site.asked('/local')[0].gone, 'the connection is closed')
  await anHourLater()
  assert.deepEqual(await told(), ['open', 'message', 'close'])
  const [close] = await notesOf(it.page, 'close')
  assert.deepEqual([close.isLocal, close.status, close.reason], [true, 200, 'local'])
  assert.equal(it.site.asked('/local').length, 1)
})

test('4.9 closed before there was a response: one close, with status 0', async () => {
  it.site.on('/silent', () => {})
  await watch('/silent')
  await until(() => it.site.asked('/silent').length === 1, 'the request')
  await run(() => globalThis.source.close())
  await until(() => it.site.asked('/silent')[0].gone, 'the connection is closed')
  assert.deepEqual(await told(), ['close'])
  const [close] = await notesOf(it.page, 'close')
  assert.deepEqual(close, { isLocal: true, status: 0, statusText: '', reason: 'local' })
})

test('4.10 a stream that breaks is an error and goes on, without a close', async () => {
  const breaking = async (_request, response) => {
    begin(response)
    response.write(event({ id: 1, data: 'one' }))
    await until(async () => (await notesOf(it.page, 'message')).length === 1, 'the event has arrived')
    await reset(response)
  }
  it.site.on('/break', breaking, streaming({ id: 2, data: 'two' }))
  await watch('/break', { reconnect: FAST })
  await it.noted('message', 2)
  assert.deepEqual(await told(), ['open', 'message', 'error', 'open', 'message'])
  const [error] = await notesOf(it.page, 'error')
  assert.deepEqual([error.error.code, error.isLocal, error.status], ['read', false, 200])
  assert.equal(it.site.asked('/break')[1].headers['last-event-id'], '1')
})

/** Drops connections until the page has been told of it: a browser asks again by itself when one that it reused is dropped. */
const gone = async (request, response) => {
  if ((await codes()).includes('connect')) streaming({ data: 'at last' })(request, response)
  else response.socket.destroy()
}
const codes = async () => (await notesOf(it.page, 'error')).map(({ error }) => error.code)

test('4.11 a first connection that fails is an error, and is tried again', async () => {
  it.site.on('/first', gone)
  await watch('/first', { reconnect: FAST })
  assert.deepEqual(await it.noted('message'), [['', 'message', 'at last']])
  const [error] = await notesOf(it.page, 'error')
  assert.deepEqual([error.error.code, error.status], ['connect', 0])
})

test('4.12 a reconnection that fails is an error without an answer', async () => {
  it.site.on('/worse', ending({ retry: 20, data: 'one' }), gone)
  await watch('/worse', { reconnect: FAST })
  assert.deepEqual((await it.noted('message', 2)).at(-1), ['', 'message', 'at last'])
  const errors = (await notesOf(it.page, 'error')).filter(({ error }) => error.code === 'connect')
  assert.ok(errors.length >= 1 && errors.every(({ status }) => status === 0), JSON.stringify(errors))
})

test('4.13 the error of a callback is reported and given to `onerror`, and the stream goes on', async () => {
  it.site.on('/throws', streaming({ id: 1, data: 'one' }, { id: 2, data: 'two' }))
  await loadPackage(it.page)
  await run(() => {
    const fail = (text) => {
      throw new Error(text)
    }
    const source = ssekit.source('/throws', {
      onopen: () => fail('of open'),
      onmessage: ({ id }) => (note('message', id), fail('of message')),
      onclose: () => fail('of close'),
      onerror: ({ error }) => (note('error', error.code), fail('of error')),
    })
    source.select('message').transform(() => fail('of transform')).subscribe((value) => note('transform', value))
    source.select('message').json(() => fail('of or')).subscribe((value) => note('json', value))
    source.select('message').subscribe((value) => note('value', value))
    globalThis.source = source
  })
  assert.deepEqual(await it.noted('value', 3), ['', 'one', 'two'])
  assert.deepEqual(await notesOf(it.page, 'message'), ['1', '2'])
  const codes = await notesOf(it.page, 'error')
  assert.ok(codes.length >= 1 && codes.every((code) => code === 'callback'), JSON.stringify(codes))
  assert.equal(it.site.asked('/throws').length, 1)
  await run(() => globalThis.source.close())
  await until(() => it.site.asked('/throws')[0].gone, 'the connection is closed')
  await until(() => it.errors.some((text) => text.includes('of close')), 'the last report')
  const reported = new Set(it.errors.splice(0).map((text) => text.match(/of \w+/)?.[0]))
  for (const callback of ['open', 'message', 'close', 'error', 'transform', 'or']) {
    assert.ok(reported.has(`of ${callback}`), `${callback}: ${[...reported]}`)
  }
})

test('4.14 an empty answer is a stream that has ended', async () => {
  it.site.on('/empty', ending())
  await watch('/empty')
  const [close] = await it.noted('close')
  assert.equal(close.reason, 'ended')
  assert.deepEqual(await told(), ['open', 'close'])
})

test('4.15 connect while it is open changes nothing; restart replaces the stream', async () => {
  it.site.on('/twice', streaming({ id: 1, data: 'one' }), streaming({ id: 2, data: 'two' }))
  await watch('/twice')
  await it.noted('message')
  await run(() => {
    globalThis.source.connect()
    globalThis.source.connect()
    return fetch('/blank').then(() => {})
  })
  assert.equal(it.site.asked('/twice').length, 1)
  await run(() => globalThis.source.restart())
  await it.noted('message', 2)
  await until(() => it.site.asked('/twice')[0].gone, 'the old stream is closed')
  assert.equal(it.site.asked('/twice').length, 2)
  assert.deepEqual(await told(), ['open', 'message', 'open', 'message'])
})

test('4.16 connect in a close callback reconnects after the delay of the policy, once', async () => {
  it.site.on('/loop', ending({ data: 'one' }))
  await it.page.clock.install()
  await loadPackage(it.page)
  await run(() => {
    watch('/loop', {
      reconnect: { delay: 1000, jitter: false },
      onclose: ({ connect, isLocal }) => {
        note('close', isLocal)
        connect()
      },
    })
  })
  await it.noted('close')
  await run(() => fetch('/blank').then(() => {}))
  assert.equal(it.site.asked('/loop').length, 1, 'not at once')
  await until(async () => {
    await it.page.clock.runFor(500)
    return it.site.asked('/loop').length === 2
  }, 'the second request')
  await it.noted('close', 2)
  await run(() => globalThis.leave())
  await anHourLater()
  assert.equal(it.site.asked('/loop').length, 2)
})

test('4.16 connect in the callback of a local close reconnects once, while somebody subscribes', async () => {
  it.site.on('/local-loop', streaming({ data: 'one' }))
  await it.page.clock.install()
  await loadPackage(it.page)
  await run(() => {
    watch('/local-loop', {
      onclose: ({ connect, reason }) => {
        note('close', reason)
        connect()
      },
    })
  })
  await it.noted('message')
  await run(() => globalThis.source.close())
  await until(async () => {
    await it.page.clock.runFor(500)
    return it.site.asked('/local-loop').length === 2
  }, 'the second request')
  await it.noted('message', 2)
  await run(() => globalThis.leave())
  await until(() => it.site.asked('/local-loop')[1].gone, 'the connection is closed')
  await anHourLater()
  assert.deepEqual(await notesOf(it.page, 'close'), ['local', 'unsubscribed'])
  assert.equal(it.site.asked('/local-loop').length, 2)
})

test('4.17 connect in a close callback does nothing when the last subscriber has left', async () => {
  it.site.on('/zombie', streaming({ data: 'one' }))
  await it.page.clock.install()
  await loadPackage(it.page)
  await run(() => {
    watch('/zombie', {
      onclose: ({ connect, isLocal }) => {
        note('close', isLocal)
        connect()
      },
    })
  })
  await it.noted('message')
  await run(() => globalThis.leave())
  await until(() => it.site.asked('/zombie')[0].gone, 'the connection is closed')
  await anHourLater()
  assert.deepEqual(await notesOf(it.page, 'close'), [true])
  assert.equal(it.site.asked('/zombie').length, 1)
})

test('4.18 the callbacks and options of release 0.14, nested, work as those of 0.15, flat', async () => {
  it.site.on('/style', ending({ id: 1, event: 'x', data: 'one' }))
  await loadPackage(it.page)
  await run(() => {
    const tell = (kind) => (notice) => note(kind, notice.status)
    const options = {
      method: 'PUT',
      headers: { 'x-style': 'nested' },
      body: 'hello',
      onopen: (response) => note('response', response.status),
      onmessage: ({ id, event, data }) => note('raw', [id, event, data]),
      onclose: () => note('closed', ''),
    }
    ssekit.source('/style', { open: tell('open'), close: tell('close'), options }).connect()
  })
  await it.noted('close')
  await it.noted('closed')
  assert.deepEqual(await notesOf(it.page, 'raw'), [['1', 'x', 'one']])
  assert.deepEqual(await notesOf(it.page, 'response'), [200])
  assert.deepEqual(await notesOf(it.page, 'open'), [200])
  await run(() => {
    const tell = (kind) => (notice) => note(kind, notice.status)
    const flat = { method: 'PUT', headers: { 'x-style': 'flat' }, body: 'hello' }
    ssekit.source('/style', { ...flat, onopen: tell('open'), onclose: tell('close'), options: { method: 'PATCH' } }).connect()
  })
  await it.noted('close', 2)
  const asked = it.site.asked('/style').map(({ method, headers, body }) => [method, headers['x-style'], body])
  assert.deepEqual(asked, [['PUT', 'nested', 'hello'], ['PUT', 'flat', 'hello']])
})

test('4.19 the request of a source: POST, Accept, and no id before there is one', async () => {
  it.site.on('/asks', streaming({ data: 'one' }))
  await watch('/asks')
  await it.noted('message')
  const [{ method, headers, body }] = it.site.asked('/asks')
  assert.deepEqual([method, headers.accept, headers['last-event-id'], body], ['POST', 'text/event-stream', undefined, ''])
})
