/** What happens to the page, or to the worker. */
export interface PageListener {
  hidden(hidden: boolean): void
  offline(offline: boolean): void
  /** It will stand still, or is kept for the way back: it is to have no connection. */
  frozen(): void
  /** It moves again. */
  thawed(): void
}

const listeners = new Set<PageListener>()
let stop: (() => void) | undefined

export const isHidden = (): boolean => globalThis.document?.visibilityState === 'hidden'
export const isOffline = (): boolean => globalThis.navigator?.onLine === false

/** Listens to the page while there is anyone to tell. */
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

function watch(): () => void {
  const stops: (() => void)[] = []
  const on = (target: EventTarget | undefined, name: string, tell: (listener: PageListener, event: Event) => void): void => {
    if (!target?.addEventListener) return
    const handler = (event: Event): void => {
      for (const listener of [...listeners]) tell(listener, event)
    }
    target.addEventListener(name, handler)
    stops.push(() => target.removeEventListener(name, handler))
  }
  // There are none of these in Node.
  const here = typeof addEventListener === 'function' ? globalThis : undefined
  on(globalThis.document, 'visibilitychange', (listener) => listener.hidden(isHidden()))
  on(globalThis.document, 'freeze', (listener) => listener.frozen())
  on(globalThis.document, 'resume', (listener) => listener.thawed())
  on(here, 'offline', (listener) => listener.offline(true))
  on(here, 'online', (listener) => listener.offline(false))
  on(here, 'pagehide', (listener, event) => (event as PageTransitionEvent).persisted && listener.frozen())
  on(here, 'pageshow', (listener, event) => (event as PageTransitionEvent).persisted && listener.thawed())
  return () => stops.forEach((stop) => stop())
}
