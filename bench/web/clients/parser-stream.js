// eventsource-parser as a stream: the other form of its README.
import { EventSourceParserStream } from 'eventsource-parser/stream'

export async function run(url, _types, tally) {
  const response = await fetch(url)
  const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
  const reader = events.getReader()
  for (let event = await reader.read(); !event.done; event = await reader.read()) tally.take(event.value.data)
}
