/**
 * Server-sent events: `source` listens to them, `produce` answers with them.
 *
 * This file is all that loads before the first connection.
 */
import { Events } from './source.js'
import type { Source, SourceOptions } from './types.js'

export { LaggedError, SourceError } from './errors.js'
export { produce } from './produce.js'
export type * from './types.js'
export type * from './produce-types.js'

/**
 * A source of events, which is not opened yet: its first subscriber opens it, and its last one closes it.
 *
 * @example
 * const value = source('/custom-event').select('message') // a store: {$value}
 */
export function source<E extends object = Record<string, unknown>>(
  from: string | URL,
  options: SourceOptions = {},
): Source<E> {
  return new Events(from, options) as Source<object> as Source<E>
}
