// The seed, as its README has it: a store of an event. An event without a name is called '' there.
import { source } from 'sveltekit-sse'

export function run(url, types, tally) {
  return new Promise((resolve) => {
    const connection = source(url, { cache: false, close: resolve, options: { method: 'GET' } })
    for (const type of types) {
      connection.select(type === 'message' ? '' : type).subscribe((data) => data !== '' && tally.take(data))
    }
  })
}
