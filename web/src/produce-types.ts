import type { RequestLike } from './event-id.js'
import type { Readable } from './types.js'

/** A result, or an error that was not thrown. */
export type Unsafe<T, E = Error> = { value: T; error: false } | { value: null; error: E }

/** A store that can be set. */
export interface Writable<T> extends Omit<Readable<T>, 'get'> {
  set(value: T): void
  update(change: (value: T) => T): void
}

/** Fields of an event besides its name and data. */
export interface EventFields {
  /** The id after which a client resumes, if it has received the event. */
  id?: string | number
  /** Milliseconds after which a client whose connection has ended returns. */
  retry?: number
}

/** The argument of {@link Start}. */
export interface StartContext {
  /** The stream's underlying source, which is also the argument of `stop` and of the returned function. */
  source: UnderlyingDefaultSource<Uint8Array>
  /**
   * Sends an event. Never throws: the error says that the client has gone, that the buffer is full, or that
   * the event is invalid.
   */
  emit(event: string, data: string, fields?: EventFields): Unsafe<void>
  /** Like `emit`, but waits for room when the buffer is full. */
  send(event: string, data: string, fields?: EventFields): Promise<Unsafe<void>>
  /** Sends a comment, which clients ignore. */
  comment(text?: string): Unsafe<void>
  /** The last event ID that the client sends, of `options.request`; empty for none. */
  lastEventId: string
  /** The stream is open while this is true. */
  lock: Writable<boolean>
  /** Ends the stream after its events, like `lock.set(false)`. The client may return for another one. */
  close(): void
  /**
   * Ends the stream for good: `produce` answers 204 to a client that returns, if it is given the `request`.
   * Then the browser's `EventSource` and `source` do not ask again.
   */
  finish(): void
  /** Aborted when the stream has stopped, for whatever reason. */
  signal: AbortSignal
}

/** Sends the events. The function that it may return runs after the stream has stopped. */
export type Start = (context: StartContext) => void | Stop | Promise<void | Stop>

/** A function that runs when a stream has stopped. */
export type Stop = (source: UnderlyingDefaultSource<Uint8Array>) => unknown

/** How events are produced. */
export interface ProduceOptions {
  /** Milliseconds between pings, which find clients that have gone: 30,000. `false` for none. */
  ping?: number | false
  /** A ping is an event named `ping` with empty data, or a comment, which pages do not see. */
  pingAs?: 'event' | 'comment'
  /** Runs once when the stream has stopped: unlocked, left by its client, or failed. */
  stop?: Stop
  /** Headers of the response; they replace those of the same name. */
  headers?: HeadersInit
  /** How much may wait for the client, in bytes: 1 MiB. Beyond it `emit` answers an error. */
  buffer?: number
  /** The request that is answered, for `lastEventId` and `finish`. */
  request?: RequestLike
  /** The id of the first event without its own; later ones count up. By default such events have no id. */
  idsFrom?: number
  /** Milliseconds after which a client whose connection has ended returns. */
  retry?: number
}
