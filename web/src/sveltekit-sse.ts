/**
 * The entry `ssekit/sveltekit-sse`, for pages of sveltekit-sse: its rules for which sources are the same
 * object and whose callbacks are called, and its defaults. All else is as in `ssekit`.
 */
import { requestSpec, settings } from './engine/settings.js'
import { keyOf } from './engine/sharing.js'
import { onCollected } from './inbox.js'
import { produce as produceEvents } from './produce.js'
import { Events, isClient } from './source.js'
import type { ProduceOptions, Start, StartContext } from './produce-types.js'
import type { JsonFailure, Notice, Select, Source as TypedSource, SourceOptions } from './types.js'

export { LaggedError, SourceError } from './errors.js'
export type * from './produce-types.js'
export type * from './types.js'

/** The options of `source` in sveltekit-sse: flat as in 0.15, or nested in `options` as in 0.14. */
export interface SourceConfiguration extends Omit<SourceOptions, 'cache' | 'share'> {
  /** Calls for the same request give the same source: true. */
  cache?: boolean
}

// Names of types in sveltekit-sse.
export type { ProduceOptions as ProducePayload, Stop as OnCancel } from './produce-types.js'
export type {
  Notice as Event, JsonFailure as JsonPredicatePayload, Select as SourceSelected,
} from './types.js'
export type Connection = StartContext
export type Emitter = StartContext['emit']
export type EventListener = (event: Notice) => void
export type JsonPredicate<T> = (payload: JsonFailure<T>) => T
export type Source = TypedSource
export type SourceSelect = (event: string) => Select
export type Transformer<T> = (value: string) => T

/** Sources by the key of their request. A source without another reference is collected. */
const sources = new Map<string, WeakRef<SharedEvents>>()

/** A source that `source` returns for each call for the same request, until its last subscriber leaves. */
class SharedEvents extends Events {
  override readonly unanswered = { status: 500, statusText: 'Internal Server Error' }

  constructor(
    from: string | URL,
    options: SourceOptions,
    readonly key: string | undefined,
  ) {
    super(from, options)
    if (key === undefined) return
    sources.set(key, new WeakRef(this))
    forget(this, key)
  }

  protected override unused(): void {
    const { key } = this
    if (key !== undefined && sources.get(key)?.deref() === this) sources.delete(key)
  }
}

/** Removes the key of a source when the source has been collected, unless another source has it then. */
function forget(source: object, key: string): void {
  onCollected(source, () => sources.get(key)?.deref() ?? sources.delete(key))
}

/**
 * A source of events, which opens with its first subscriber and closes with its last.
 *
 * Calls for the same request give the same source, with the callbacks of the first call.
 *
 * @example
 * const value = source('/custom-event').select('message') // a store: {$value}
 */
export function source(from: string | URL, { cache, ...rest }: SourceConfiguration = {}): Source {
  const options: SourceOptions = cache === undefined ? rest : { ...rest, share: cache }
  // A server renders for different users. Without weak references, each call gives a source of its own.
  const key = isClient() && typeof WeakRef === 'function' ? keyOfSource(from, options) : undefined
  const known = key === undefined ? undefined : sources.get(key)?.deref()
  return known ?? new SharedEvents(from, options, key)
}

/** The key of its request; undefined for a request that is not to be shared, or that cannot be made. */
function keyOfSource(from: string | URL, options: SourceOptions): string | undefined {
  try {
    const request = requestSpec(from, options)
    return keyOf(options, request, settings(options, request.init))
  } catch {
    return undefined
  }
}

/**
 * Answers with a stream of events, which `start` sends, numbered from 1. It runs when the response is first
 * read.
 *
 * @throws RangeError when `ping` is not a time
 */
export function produce(start: Start, options: ProduceOptions = {}): Response {
  return produceEvents(start, { idsFrom: 1, ...options })
}
