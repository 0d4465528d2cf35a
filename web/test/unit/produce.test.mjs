import assert from 'node:assert/strict'
import { test } from 'node:test'
import { produce, source } from '../../dist/index.js'
import { settled, until } from './support.mjs'

const decoder = new TextDecoder()

/** Reads an answer: `next()` gives the text of a piece, `rest()` all of it. */
function read(response) {
  const reader = response.body.getReader()
  const next = async () => {
    const { done, value } = await reader.read()
    return done ? undefined : decoder.decode(value)
  }
  const rest = async () => {
    let text = ''
    for (let piece; (piece = await next()) !== undefined; ) text += piece
    return text
  }
  return { next, rest, cancel: () => reader.cancel() }
}

/** The text of a stream without pings. */
const written = (start, options) => read(produce(start, { ping: false, ...options })).rest()

test('events have a name and a line for each line of their data; those that wait go out together', async () => {
  const reader = read(
    produce(({ emit, lock }) => {
      assert.deepEqual(emit('message', 'hello'), { value: undefined, error: false })
      emit('weather', '72 °F\nsunny\r\nor\rnot\n')
      emit('', '')
      lock.set(false)
    }),
  )
  assert.equal(
    await reader.next(),
    'event: message\ndata: hello\n\n' +
      'event: weather\ndata: 72 °F\ndata: sunny\ndata: or\ndata: not\ndata: \n\n' +
      'event: \ndata: \n\n',
  )
  assert.equal(await reader.next(), undefined)
})

test('an event has the id and the reconnection time that it is given, and no others', async () => {
  const text = await written(async ({ emit, send, close }) => {
    emit('a', '', { id: 'order 7' })
    emit('b', '', { id: 8, retry: 1500 })
    await send('c', '', { id: '🎈' })
    emit('d', '', { id: '' })
    emit('e', '')
    close()
  })
  assert.equal(
    text,
    'id: order 7\nevent: a\ndata: \n\nretry: 1500\nid: 8\nevent: b\ndata: \n\nid: 🎈\nevent: c\ndata: \n\n' +
      'id: \nevent: d\ndata: \n\nevent: e\ndata: \n\n',
  )
})

test('`idsFrom` counts the events that have no id of their own, and none that was refused', async () => {
  const text = await written(
    ({ emit, close }) => {
      emit('a', '')
      emit('a\nb', '')
      emit('b', '', { id: 'x' })
      emit('c', '')
      close()
    },
    { idsFrom: 41 },
  )
  assert.deepEqual(text.match(/^id: .*$/gm), ['id: 41', 'id: x', 'id: 42'])
  for (const idsFrom of [-1, 1.5, Number.NaN, '1']) assert.throws(() => produce(() => {}, { idsFrom }), RangeError)
})

test('an id that no `Last-Event-ID` header can carry is refused, and so is a time that is none', async () => {
  const errors = []
  const text = await written(({ emit, close }) => {
    for (const id of [' 7', '7 ', '\t7', 'a\nb', 'a\rb', 'a\0b', 'a\u0001b', 'a\u007fb']) errors.push(emit('a', '', { id }))
    for (const retry of [-1, 0.5, Number.NaN, Infinity, '1\n2']) errors.push(emit('a', '', { retry }))
    close()
  })
  assert.equal(text, '')
  assert.deepEqual(errors.map(({ error }) => error.message.split(' must ')[0]), [...Array(8).fill('Event id'), ...Array(5).fill('Event retry')])
})

test('the reconnection time of the stream stands in front of its first event, in no block of its own', async () => {
  const large = 'x'.repeat(2 << 20)
  const text = await written(({ emit, close }) => {
    assert.equal(emit('a\nb', '').value, null)
    assert.equal(emit('a', large).error, false)
    emit('b', '')
    close()
  }, { retry: 3000, buffer: 4 << 20 })
  assert.equal(text, `retry: 3000\nevent: a\ndata: ${large}\n\nevent: b\ndata: \n\n`)
  assert.throws(() => produce(() => {}, { retry: -1 }), RangeError)
})

test('comments are lines that begin with a colon, and no blocks', async () => {
  const text = await written(({ comment, emit, close }) => {
    comment()
    assert.deepEqual(comment('one\r\ntwo\n\ndata: evil'), { value: undefined, error: false })
    emit('a', '')
    close()
    assert.equal(comment('late').error.message, 'Client disconnected from the stream.')
  })
  assert.equal(text, ':\n: one\n: two\n: \n: data: evil\nevent: a\ndata: \n\n')
})

test('`start` has the last event ID of the request: of its header, or of its query', async () => {
  const idOf = async (request) => {
    let id
    await written(({ lastEventId, close }) => {
      id = lastEventId
      close()
    }, { request })
    return id
  }
  const url = 'http://localhost/events'
  const utf8 = (text) => Buffer.from(text).toString('latin1')
  assert.equal(await idOf(undefined), '')
  assert.equal(await idOf(new Request(url)), '')
  assert.equal(await idOf(new Request(url, { headers: { 'last-event-id': '7' } })), '7')
  assert.equal(await idOf(new Request(url, { headers: { 'last-event-id': utf8('ä🎈') } })), 'ä🎈')
  assert.equal(await idOf(new Request(`${url}?lastEventId=4%2F1`)), '4/1')
  assert.equal(await idOf(new Request(`${url}?x=1&last-event-id=&last_event_id=9`)), '9')
  assert.equal(await idOf(new Request(`${url}?lastEventId=1`, { headers: { 'last-event-id': '2' } })), '2')
  // Requests of Node's http.
  assert.equal(await idOf({ headers: { 'last-event-id': '7' }, url: '/events' }), '7')
  assert.equal(await idOf({ headers: {}, url: '//[/events?lastEventID=8' }), '8')
})

test('a stream that was finished is answered 204 to a client that has seen its end, and to no other', async () => {
  let started = 0
  const answer = (headers) =>
    produce(({ emit, finish }) => {
      started++
      emit('result', '42')
      finish()
      assert.equal(emit('result', '43').value, null)
    }, { request: new Request('http://localhost/job', { headers }), retry: 1, headers: { 'x-job': '7' } })
  const text = await read(answer({})).rest()
  assert.match(text, /^retry: 1\nevent: result\ndata: 42\n\nid: .+\n\n$/)
  const [, id] = /^id: (.+)$/m.exec(text)
  const last = answer({ 'last-event-id': id })
  assert.deepEqual([last.status, last.body, last.headers.get('x-job'), last.headers.get('content-type')], [204, null, '7', null])
  assert.equal(last.headers.get('cache-control'), 'no-store, no-transform')
  assert.equal(started, 1)
  assert.equal(answer({ 'last-event-id': '41' }).status, 200)
  // The last block has room, however much waits.
  const full = await written(({ emit, finish }) => {
    emit('a', 'x'.repeat(100))
    finish()
  }, { buffer: 10 })
  assert.match(full, /x\n\nid: .+\n\n$/)
})

test('a client of ours that returns to a finished stream stays away', async () => {
  const answers = []
  const fetch = async (url, init) => {
    const response = produce(({ emit, finish }) => {
      emit('result', '42')
      finish()
    }, { request: new Request(url, init), retry: 1 })
    answers.push(response.status)
    return response
  }
  const connection = source('http://localhost/job', { fetch, reconnect: { minDelay: 1 } })
  const closed = new Promise((resolve) => connection.status.subscribe((status) => status.state === 'closed' && resolve(status)))
  connection.connect()
  assert.equal((await closed).reason, 'no-content')
  assert.deepEqual(answers, [200, 204])
})

test('headers: those of an event stream; others replace by name, in any case', () => {
  const { status, headers } = produce(() => {}, {
    headers: { 'Content-Type': 'text/plain', 'CACHE-CONTROL': 'private', Connection: 'keep-alive', 'x-id': '7' },
  })
  assert.equal(status, 200)
  assert.deepEqual(Object.fromEntries(headers), {
    'cache-control': 'private',
    'content-type': 'text/event-stream',
    'x-accel-buffering': 'no',
    'x-id': '7',
  })
  assert.equal(produce(() => {}).headers.get('cache-control'), 'no-store, no-transform')
})

test('start runs when the answer is first read, and not before', async () => {
  let started = 0
  const response = produce(({ lock }) => {
    started++
    lock.set(false)
  })
  await settled()
  assert.equal(started, 0)
  await read(response).rest()
  assert.equal(started, 1)
})

test('emit never throws: the problem is its answer', async () => {
  const errors = []
  await written(({ emit, lock }) => {
    for (const [name, data] of [[1, 'x'], ['x', { a: 1 }], ['a\nb', ''], ['a\rb', '']]) errors.push(emit(name, data))
    lock.set(false)
    errors.push(emit('message', 'late'))
  })
  assert(errors.every(({ value, error }) => value === null && error instanceof Error))
  assert.deepEqual(
    errors.map(({ error }) => error.message),
    [
      'Event name must of type `string`, received `number`.',
      'Event data must of type `string`, received `object`.',
      'Event name must not contain new line characters, received "a\nb".',
      'Event name must not contain new line characters, received "a\rb".',
      'Client disconnected from the stream.',
    ],
  )
})

test('a client that does not read fills the buffer, not the memory; send waits for room', async () => {
  const data = 'x'.repeat(1000)
  let sent = 0
  let full
  const reader = read(
    produce(
      async ({ emit, send, lock }) => {
        for (let result = emit('m', data); !result.error; result = emit('m', data)) sent++
        full = emit('m', data).error
        for (let more = 0; more < 100; more++) assert.equal((await send('m', data)).error, false)
        assert.equal((await send('m\n', data)).value, null)
        lock.set(false)
      },
      { ping: false, buffer: 10_000, idsFrom: 1 },
    ),
  )
  const first = await reader.next()
  assert.equal(sent, 9)
  assert.match(full.message, /full/)
  const all = first + (await reader.rest())
  assert.deepEqual([...all.matchAll(/id: (\d+)/g)].map(([, id]) => Number(id)), Array.from({ length: 109 }, (_, i) => i + 1))
})

test('one event always has room, if it is not monstrous', async () => {
  const large = 'x'.repeat(2 << 20)
  const text = await written(({ emit, lock }) => {
    assert.match(emit('m', 'x'.repeat((16 << 20) + 1)).error.message, /larger than 16777216 bytes/)
    assert.equal(emit('m', large).error, false)
    lock.set(false)
  })
  assert.equal(text, `event: m\ndata: ${large}\n\n`)
})

test('stop runs once, then the function that start returned, after start; both get the source', async () => {
  const calls = []
  let context
  const reader = read(
    produce(
      async (given) => {
        context = given
        given.emit('message', 'x')
        await settled()
        calls.push('started')
        return (source) => void calls.push(['cancel', source === given.source])
      },
      { ping: false, stop: (source) => void calls.push(['stop', source === context.source]) },
    ),
  )
  assert.equal(await reader.next(), 'event: message\ndata: x\n\n')
  context.lock.set(false)
  context.lock.set(false)
  context.lock.set(true)
  assert(context.signal.aborted)
  await until(() => calls.length === 3)
  assert.deepEqual(calls, [['stop', true], 'started', ['cancel', true]])
  assert.equal(await reader.next(), undefined)
})

test('a client that leaves stops it: stop, cancel, signal, emit', async () => {
  const calls = []
  let context
  const reader = read(
    produce((given) => {
      context = given
      given.emit('message', 'x')
      return () => void calls.push('cancel')
    }, { stop: () => void calls.push('stop') }),
  )
  await reader.next()
  await reader.cancel()
  await until(() => calls.length === 2)
  assert.deepEqual(calls, ['stop', 'cancel'])
  assert(context.signal.aborted)
  assert.equal(context.emit('message', 'x').error.message, 'Client disconnected from the stream.')
  assert.equal((await context.send('message', 'x')).error.message, 'Client disconnected from the stream.')
})

for (const [how, start] of [
  ['throws', () => { throw new Error('no database') }],
  ['rejects', async () => { throw new Error('no database') }],
]) {
  test(`a start that ${how} is logged, stop runs, and the stream is cut after its events`, async (t) => {
    const logged = t.mock.method(console, 'error', () => {})
    const calls = []
    const reader = read(
      produce(async (context) => {
        context.emit('message', 'before')
        return start()
      }, { stop: () => void calls.push('stop') }),
    )
    assert.equal(await reader.next(), 'event: message\ndata: before\n\n')
    // Not an end, which a reader would take for that of a complete answer.
    await assert.rejects(reader.next(), { message: 'no database' })
    await until(() => calls.length)
    assert.equal(logged.mock.callCount(), 1)
    assert.equal(logged.mock.calls[0].arguments[1].message, 'no database')
  })
}

test('a stop that throws is logged, and the other runs', async (t) => {
  const logged = t.mock.method(console, 'error', () => {})
  const calls = []
  await written(
    ({ lock }) => {
      lock.set(false)
      return () => void calls.push('cancel')
    },
    { stop: () => { throw new Error('oops') } },
  )
  await until(() => calls.length)
  assert.equal(logged.mock.callCount(), 1)
})

test('the lock is a store', async () => {
  const seen = []
  await written(({ lock }) => {
    lock.subscribe((isLocked) => seen.push(isLocked))
    lock.set(true)
    lock.update((isLocked) => !isLocked)
  })
  assert.deepEqual(seen, [true, false])
})

test('a ping is an event without an id, or a comment, or not', async () => {
  const first = async (options) => {
    const reader = read(produce(() => {}, options))
    const text = await reader.next()
    await reader.cancel()
    return text
  }
  assert.equal(await first({ ping: 5 }), 'event: ping\ndata: \n\n')
  assert.equal(await first({ ping: 5, pingAs: 'comment' }), ':\n')
  for (const ping of [0, -1, Number.NaN, '5s']) assert.throws(() => produce(() => {}, { ping }), RangeError)
  const ids = read(
    produce(async ({ emit, lock }) => {
      emit('a', '')
      await new Promise((resolve) => setTimeout(resolve, 20))
      emit('b', '')
      lock.set(false)
    }, { ping: 5, idsFrom: 1 }),
  )
  const text = await ids.rest()
  assert.match(text, /event: ping/)
  assert.deepEqual(text.match(/^id: .*$/gm), ['id: 1', 'id: 2'])
})
