import { fetchEventSource } from '@microsoft/fetch-event-source'

export function run(url, _types, tally) {
  return fetchEventSource(url, { openWhenHidden: true, onmessage: (event) => void tally.take(event.data) })
}
