/** Is called for events of the page or the worker. */
export interface PageListener {
  hidden(hidden: boolean): void
  offline(offline: boolean): void
  /** It will stand still, or is kept for the way back: it is to have no connection. */
  frozen(): void
  /** It moves again. */
  thawed(): void
  /** It has become visible, or the machine may have slept; `slept` milliseconds of that time are not in `performance.now()`. */
  woken(slept: number): void
}

/** How often it is checked whether the machine has slept, and how late a check must be for that, in milliseconds. */
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

const tellAll = (tell: (listener: PageListener) => void): void => [...listeners].forEach(tell)

function watch(): () => void {
  const end = new AbortController()
  const { signal } = end
  const on = (target: EventTarget | undefined, name: string, handler: (event: Event) => void): void =>
    target?.addEventListener?.(name, handler, { signal })
  const lap = startClock()
  const wake = (slept: number): void => tellAll((listener) => listener.woken(slept))
  const timer = setInterval(() => {
    const [passed, slept] = lap()
    if (passed > LATE) wake(slept)
  }, CHECK)
  // It keeps no program running.
  ;(timer as { unref?: () => void }).unref?.()
  // There are none of these in Node.
  on(globalThis.document, 'visibilitychange', () => {
    tellAll((listener) => listener.hidden(isHidden()))
    if (!isHidden()) wake(lap()[1])
  })
  on(globalThis.document, 'freeze', () => tellAll((listener) => listener.frozen()))
  on(globalThis.document, 'resume', () => tellAll((listener) => listener.thawed()))
  on(globalThis, 'offline', () => tellAll((listener) => listener.offline(true)))
  on(globalThis, 'online', () => tellAll((listener) => listener.offline(false)))
  on(globalThis, 'pagehide', (event) => (event as PageTransitionEvent).persisted && tellAll((listener) => listener.frozen()))
  on(globalThis, 'pageshow', (event) => (event as PageTransitionEvent).persisted && tellAll((listener) => listener.thawed()))
  return () => {
    clearInterval(timer)
    end.abort()
  }
}

/**
 * Measures time. `Date.now()` counts the time in which the machine slept, `performance.now()` does not count it everywhere.
 *
 * @returns a function that gives the milliseconds since its last call, and how many of them `performance.now()` has not counted
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
