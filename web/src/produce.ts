import { FINISHED, lastEventIdOf } from './event-id.js'
import { loadProducer } from './lazy.js'
import type { ProduceOptions, Start } from './produce-types.js'
import type { Producer } from './producer.js'

/**
 * Answers with a stream of events, which `start` sends. It runs when the response is first read.
 *
 * @throws RangeError when `ping`, `retry` or `idsFrom` is out of its range
 * @example
 * export const POST = () => produce(({ emit }) => void emit('message', 'hello'))
 */
export function produce(start: Start, options: ProduceOptions = {}): Response {
  const { ping = 30_000, retry = 0, idsFrom = 0 } = options
  if (ping !== false && !(ping > 0)) {
    throw new RangeError(`\`ping\` is a number of milliseconds above 0, or false, not ${ping}`)
  }
  for (const [name, value] of Object.entries({ retry, idsFrom })) {
    if (!(Number.isSafeInteger(value) && value >= 0)) {
      throw new RangeError(`\`${name}\` is a whole number from 0 on, not ${value}`)
    }
  }

  const headers = new Headers(options.headers)
  if (!headers.has('cache-control')) headers.set('cache-control', 'no-store, no-transform')
  if (!headers.has('x-accel-buffering')) headers.set('x-accel-buffering', 'no')
  headers.set('content-type', 'text/event-stream')
  headers.delete('connection')

  const lastEventId = options.request ? lastEventIdOf(options.request) : ''
  if (lastEventId === FINISHED) {
    headers.delete('content-type')
    return new Response(null, { status: 204, headers })
  }

  let producer: Promise<Producer> | undefined
  const source: UnderlyingDefaultSource<Uint8Array> = {
    pull: async (controller) => {
      producer ??= loadProducer().then(({ begin }) => begin(source, start, options, ping, lastEventId))
      return (await producer).pull(controller)
    },
    cancel: async () => (await producer)?.cancel(),
  }
  return new Response(new ReadableStream(source, { highWaterMark: 0 }), { headers })
}
