// eventsource-parser, fed by hand: `createParser` of its README, with a TextDecoder.
import { createParser } from 'eventsource-parser'

export async function run(url, _types, tally) {
  const parser = createParser({ onEvent: (event) => void tally.take(event.data) })
  const reader = (await fetch(url)).body.getReader()
  const decoder = new TextDecoder()
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    parser.feed(decoder.decode(piece.value, { stream: true }))
  }
}
