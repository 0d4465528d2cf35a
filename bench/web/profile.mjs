/**
 * The functions in which a profile of the DevTools protocol spent its time, by their own share, in µs an event.
 * @param {{nodes: object[], samples: number[], timeDeltas: number[]}} profile
 * @param {number} events
 */
export function hottest({ nodes, samples, timeDeltas }, events) {
  const places = new Map(nodes.map(({ id, callFrame }) => {
    const file = callFrame.url.split('/').pop()
    return [id, `${callFrame.functionName || '(anonymous)'} ${file}${file && `:${callFrame.lineNumber + 1}:${callFrame.columnNumber + 1}`}`]
  }))
  const spent = new Map()
  samples.forEach((id, index) => {
    const place = places.get(id)
    spent.set(place, (spent.get(place) ?? 0) + timeDeltas[index])
  })
  return [...spent]
    .filter(([place]) => !place.startsWith('(idle)'))
    .sort(([, a], [, b]) => b - a)
    .slice(0, 25)
    .map(([place, time]) => `  ${(time / events).toFixed(3).padStart(9)}  ${place}`)
    .join('\n')
}
