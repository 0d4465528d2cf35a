// ssekit through a store of an event.
import { source } from 'ssekit'

export function run(url, types, tally) {
  return new Promise((resolve) => {
    const connection = source(url, { share: false, method: 'GET', onclose: resolve })
    for (const type of types) connection.select(type).subscribe((data) => data !== '' && tally.take(data))
  })
}
