/** A turn of the event loop, in which others run. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => {
    // Where there is this, an open port would keep the program running.
    if (typeof setImmediate === 'function') return setImmediate(resolve)
    if (typeof MessageChannel !== 'function') return setTimeout(resolve)
    // Browsers delay the timers of hidden pages, and no messages.
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(0)
  })
}

declare const setImmediate: ((run: () => void) => void) | undefined
