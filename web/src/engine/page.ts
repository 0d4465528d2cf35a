/** Is called for events of the page or the worker. */
export interface PageListener {
  hidden(hidden: boolean): void
  offline(offline: boolean): void
  /** It will stand still, or is kept for the way back: it is to have no connection. */
  frozen(): void
  /** It moves again. */
  thawed(): void
  /**
   * The page is visible again, or the machine may have slept: `slept` ms that `performance.now()` did not
   * count.
   */
  woken(slept: number): void
}

/** The interval of the checks for a sleep of the machine, and the delay that shows one, in milliseconds. */
const CHECK = 30_000
const LATE = 90_000

const listeners = new Set<PageListener>()
let stop: (() => void) | undefined

export const isHidden = (): boolean => globalThis.document?.visibilityState === 'hidden'
export const isOffline = (): boolean => globalThis.navigator?.onLine === false

/** Listens to the page while there are listeners. */
export function watchPage(listener: PageListener): () => void {
  listeners.add(listener)
  stop ??= watch()
  return () => {
    listeners.delete(listener)
    if (listeners.size) return
    stop?.()
    stop = undefined
  }
}

const notifyAll = (notify: (listener: PageListener) => void): void => [...listeners].forEach(notify)

function watch(): () => void {
  const end = new AbortController()
  const { signal } = end
  const on = (target: EventTarget | undefined, name: string, handler: (event: Event) => void): void =>
    target?.addEventListener?.(name, handler, { signal })
  const lap = startClock()
  const wake = (slept: number): void => notifyAll((listener) => listener.woken(slept))
  const timer = setInterval(() => {
    const [passed, slept] = lap()
    if (passed > LATE) wake(slept)
  }, CHECK)
  // It keeps no program running.
  ;(timer as { unref?: () => void }).unref?.()
  // There are none of these in Node.
  on(globalThis.document, 'visibilitychange', () => {
    notifyAll((listener) => listener.hidden(isHidden()))
    if (!isHidden()) wake(lap()[1])
  })
  on(globalThis.document, 'freeze', () => notifyAll((listener) => listener.frozen()))
  on(globalThis.document, 'resume', () => notifyAll((listener) => listener.thawed()))
  on(globalThis, 'offline', () => notifyAll((listener) => listener.offline(true)))
  on(globalThis, 'online', () => notifyAll((listener) => listener.offline(false)))
  const isPersisted = (event: Event): boolean => (event as PageTransitionEvent).persisted
  on(globalThis, 'pagehide', (event) => isPersisted(event) && notifyAll((listener) => listener.frozen()))
  on(globalThis, 'pageshow', (event) => isPersisted(event) && notifyAll((listener) => listener.thawed()))
  return () => {
    clearInterval(timer)
    end.abort()
  }
}

/**
 * Measures time. `Date.now()` counts the time in which the machine slept, `performance.now()` not everywhere.
 *
 * @returns a function of the milliseconds since its last call, and those of them that `performance.now()` did
 * not count
 */
function startClock(): () => [passed: number, slept: number] {
  let date = Date.now()
  let moment = performance.now()
  return () => {
    const passed = Date.now() - date
    const counted = performance.now() - moment
    date += passed
    moment += counted
    return [passed, Math.max(0, passed - counted)]
  }
}
