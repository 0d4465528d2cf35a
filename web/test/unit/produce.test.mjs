import assert from 'node:assert/strict'
import { test } from 'node:test'
import { produce } from '../../dist/index.js'
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

/** What a stream without pings writes. */
const written = (start, options) => read(produce(start, { ping: false, ...options })).rest()

test('events have an id, a name and their data, a line for each; what waits goes out together', async () => {
  const text = await written(({ emit, lock }) => {
    assert.deepEqual(emit('message', 'hello'), { value: undefined, error: false })
    emit('weather', '72 °F\nsunny\r\nor\rnot\n')
    emit('', '')
    lock.set(false)
  })
  assert.equal(
    text,
    'id: 1\nevent: message\ndata: hello\n\n' +
      'id: 2\nevent: weather\ndata: 72 °F\ndata: sunny\ndata: or\ndata: not\ndata: \n\n' +
      'id: 3\nevent: \ndata: \n\n',
  )
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

test('emit never throws: what is wrong is its answer', async () => {
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

test('who does not read fills the buffer, not the memory; send waits for room', async () => {
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
      { ping: false, buffer: 10_000 },
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
  assert.equal(text, `id: 1\nevent: m\ndata: ${large}\n\n`)
})

test('stop runs once, then what start returned, after start; both get the source', async () => {
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
  assert.equal(await reader.next(), 'id: 1\nevent: message\ndata: x\n\n')
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
  test(`a start that ${how} is logged, stop runs, and the stream ends`, async (t) => {
    const logged = t.mock.method(console, 'error', () => {})
    const calls = []
    const text = await written(async (context) => {
      context.emit('message', 'before')
      return start()
    }, { stop: () => void calls.push('stop') })
    assert.equal(text, 'id: 1\nevent: message\ndata: before\n\n')
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
    }, { ping: 5 }),
  )
  const text = await ids.rest()
  assert.match(text, /event: ping/)
  assert.deepEqual(text.match(/^id: .*$/gm), ['id: 1', 'id: 2'])
})
