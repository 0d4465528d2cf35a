// The browser's own, which parses outside of JavaScript.
export function run(url, types, tally) {
  return new Promise((resolve) => {
    const stream = new EventSource(url)
    const end = () => (stream.close(), resolve())
    const take = (event) => tally.take(event.data) && end()
    for (const type of types) stream.addEventListener(type, take)
    stream.onerror = end
  })
}
