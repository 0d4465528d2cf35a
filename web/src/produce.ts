import { loadProducing } from './lazy.js'
import type { ProduceOptions, Start } from './produce-types.js'
import type { Production } from './producing.js'

/**
 * Answers with a stream of events, which `start` sends. It runs when the answer is first read.
 *
 * @throws RangeError when `ping` is no time
 * @example
 * export const POST = () => produce(({ emit }) => void emit('message', 'hello'))
 */
export function produce(start: Start, options: ProduceOptions = {}): Response {
  const { ping = 30_000 } = options
  if (ping !== false && !(ping > 0)) throw new RangeError(`\`ping\` is a number of milliseconds above 0, or false, not ${ping}`)

  const headers = new Headers({ 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' })
  new Headers(options.headers).forEach((value, name) => headers.set(name, value))
  headers.set('content-type', 'text/event-stream')
  headers.delete('connection')

  let production: Promise<Production> | undefined
  const source: UnderlyingDefaultSource<Uint8Array> = {
    pull: async (controller) => {
      production ??= loadProducing().then(({ begin }) => begin(source, start, options, ping))
      return (await production).pull(controller)
    },
    cancel: async () => (await production)?.cancel(),
  }
  return new Response(new ReadableStream(source, { highWaterMark: 0 }), { headers })
}
