// What every measurement runs in the page: `bench.run` connects one client and takes every event of a row.

/** What has been taken. Reading one character of the data makes a string that was put together lazily pay for it. */
class Tally {
  events = 0
  units = 0
  sum = 0
  pieces = 0

  constructor(wanted) {
    this.wanted = wanted
  }

  /** Takes one event's data; true when it was the last one. */
  take(data) {
    this.units += data.length
    this.sum += data.charCodeAt(data.length >> 1)
    return ++this.events === this.wanted
  }
}

const fetchOfThePage = globalThis.fetch
let pieces = []

/** A response whose body is in memory, in the pieces in which it would have come. */
function fetchFromMemory() {
  let next = 0
  let rest = new Uint8Array(0)
  const body = new ReadableStream({
    type: 'bytes',
    pull(controller) {
      if (rest.length === 0) rest = pieces[next++] ?? rest
      const request = controller.byobRequest
      if (rest.length === 0) {
        controller.close()
        request?.respond(0)
      } else if (request) {
        // A reader with a buffer of its own gets as much as that holds, as it does of a network's body.
        const part = rest.subarray(0, request.view.length)
        request.view.set(part)
        rest = rest.subarray(part.length)
        request.respond(part.length)
      } else {
        controller.enqueue(rest.slice())
        rest = rest.subarray(rest.length)
      }
    },
  })
  return Promise.resolve(new Response(body, { headers: { 'content-type': 'text/event-stream' } }))
}

globalThis.bench = {
  async load(name) {
    this.client = await import(`/clients/${name}.js`)
  },

  /** Fetches a row's pieces, and lets every client that follows read them from memory. */
  async hold(query) {
    globalThis.fetch = fetchOfThePage
    const bytes = await (await fetch(`/pieces${query}`)).arrayBuffer()
    const lengths = new Uint32Array(bytes, 4, new Uint32Array(bytes, 0, 1)[0])
    let at = lengths.byteOffset + lengths.byteLength
    pieces = Array.from(lengths, (length) => new Uint8Array(bytes, (at += length) - length, length))
    globalThis.fetch = fetchFromMemory
  },

  /** Lets them read from the network again. */
  release() {
    globalThis.fetch = fetchOfThePage
  },

  async run(query, wanted, types) {
    const tally = new Tally(wanted)
    await this.client.run(new URL(`/stream${query}`, location.href).href, types, tally)
    const { events, units, sum, pieces } = tally
    return { events, units, sum, pieces }
  },
}
