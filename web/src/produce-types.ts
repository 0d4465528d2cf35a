import type { Readable } from './types.js'

/** A result, or an error that was not thrown. */
export type Unsafe<T, E = Error> = { value: T; error: false } | { value: null; error: E }

/** A store that can be set. */
export interface Writable<T> extends Omit<Readable<T>, 'get'> {
  set(value: T): void
  update(change: (value: T) => T): void
}

/** What a {@link Start} works with. */
export interface StartContext {
  /** The stream's underlying source, which `stop` and the returned function are given too. */
  source: UnderlyingDefaultSource<Uint8Array>
  /**
   * Sends an event. Never throws: the error says that the client has gone, that the buffer is full, or what is wrong
   * with the event.
   */
  emit(event: string, data: string): Unsafe<void>
  /** Like `emit`, but waits for room when the buffer is full. */
  send(event: string, data: string): Promise<Unsafe<void>>
  /** The stream is open while this is true. */
  lock: Writable<boolean>
  /** Aborted when the stream has stopped, however it came to that. */
  signal: AbortSignal
}

/** What sends the events. The function that it may return runs after the stream has stopped. */
export type Start = (context: StartContext) => void | Stop | Promise<void | Stop>

/** What runs when a stream has stopped. */
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
}
