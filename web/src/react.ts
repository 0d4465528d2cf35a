import { useCallback, useSyncExternalStore } from 'react'
import type { Readable } from './types.js'

/**
 * The value of a store, in React. The connection is open while a component uses it; make the source outside
 * of the component, or with `useMemo`.
 *
 * @example
 * const clock = source('/clock').select('message')
 * const Clock = () => <p>{useReadable(clock)}</p>
 */
export function useReadable<T>(store: Readable<T>): T {
  const subscribe = useCallback((changed: () => void) => store.subscribe(changed), [store])
  const value = useCallback(() => store.get(), [store])
  return useSyncExternalStore(subscribe, value, value)
}
