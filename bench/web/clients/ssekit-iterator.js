// ssekit through its iterator: every event, in order.
import { source } from 'ssekit'

export async function run(url, _types, tally) {
  for await (const event of source(url, { share: false, method: 'GET' })) {
    if (tally.take(event.data)) break
  }
}
