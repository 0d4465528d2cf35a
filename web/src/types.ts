/** An event as the standard dispatches it. */
export interface Message {
  /** The last event ID after this event; empty for none. */
  readonly id: string
  /** Its name, `message` when the server gave none. */
  readonly event: string
  readonly data: string
}

/** A store that can be read: Svelte's contract, and `get`. */
export interface Readable<T> {
  /**
   * Calls `run` with the value, now and at every change.
   *
   * @returns what ends this
   */
  subscribe(run: (value: T) => void, invalidate?: () => void): () => void
  /** The value, without subscribing. */
  get(): T
}

/** What `or` of {@link Select.json} is told of data that is no JSON. */
export interface JsonFailure<T> {
  error: Error
  /** The data as it came. */
  raw: string
  /** The last value that was parsed, `null` before the first. */
  previous: T | null
}

/** The events of one name: a store of the latest data, and every event as an async iterator. */
export interface Select extends Readable<string>, AsyncIterable<Message> {
  /**
   * The data parsed as JSON; `null` until the first event.
   *
   * @param or gives the value for data that is no JSON. Without it the store becomes `null`, and an iterator throws.
   */
  json<T = any>(or?: (failure: JsonFailure<T>) => T | null): Readable<T | null> & AsyncIterable<T>
  /** The data as `fn` makes it; `null` until the first event. */
  transform<T>(fn: (data: string) => T): Readable<T | null> & AsyncIterable<T>
}

/** Where a connection stands. */
export interface Status {
  readonly state: 'idle' | 'connecting' | 'open' | 'waiting' | 'paused' | 'closed'
  /** When it is waiting: the moment of the next attempt, in milliseconds since 1970. */
  readonly until?: number
  /** What went wrong, if something did. */
  readonly error?: SourceErrorLike
  /** When it is closed: why. */
  readonly reason?: CloseReason
  /** When it gave up: after how many retries. */
  readonly retries?: number
}

/** Why a connection is closed: here, because nobody listens, by the server's end or 204, by a final error, after too many retries. */
export type CloseReason = 'local' | 'unsubscribed' | 'ended' | 'no-content' | 'failed' | 'gave-up'

/** What went wrong, in one word. */
export type SourceErrorCode =
  | 'url' | 'headers' | 'connect' | 'connect-timeout' | 'read' | 'read-timeout' | 'ended' | 'no-content' | 'status'
  | 'content-type' | 'content-encoding' | 'too-large' | 'last-event-id' | 'callback' | 'wasm'

/** A `SourceError` as its readers see it. */
export interface SourceErrorLike extends Error {
  readonly code: SourceErrorCode
  /** The status of an answer that is no event stream. */
  readonly status?: number
  /** The beginning of its body, at most 16 KiB. */
  readonly body?: string
  /** What its `Retry-After` asks for, in milliseconds. */
  readonly retryAfter?: number
}

/** What callbacks are told. */
export interface Notice {
  /** The last event ID, when it is about an event. */
  readonly id: string
  /** The event's name; or `open`, `close`, `error`. */
  readonly event: string
  /** The same as `event`. */
  readonly name: string
  readonly data: string
  /** It was closed here: by `close`, by `signal`, or because nobody listens any more. */
  readonly isLocal: boolean
  /** Of the answer; 500 before there is one. */
  readonly status: number
  readonly statusText: string
  readonly headers: Headers
  readonly response?: Response
  readonly error?: SourceErrorLike
  readonly reason?: CloseReason
  /** Connects again: after the policy's delay when the connection is closed, and not if it was closed here. */
  connect(): void
  close(): void
}

/** Whether and when a connection is made again. Times are in milliseconds. */
export interface ReconnectOptions {
  /** What is not said here is as in this preset: `resilient` unless told otherwise. */
  preset?: 'resilient' | 'standard' | 'never'
  /** Before the first retry: 1,000, and 3,000 in `standard`. */
  delay?: number
  /** No delay is shorter: 100. */
  minDelay?: number
  /** No delay grows longer: 30,000. */
  maxDelay?: number
  /** What a server may ask for at most: 3,600,000. */
  maxServerDelay?: number
  /** So many retries in a row that fail are the end: none by default. */
  maxRetries?: number
  /** Delays have a random part: true. */
  jitter?: boolean
  /** After the server has ended the stream: always; when it has sent `retry:` (the default); never. */
  afterEnd?: 'always' | 'asked' | 'never'
}

/** What the request is; other members of `RequestInit` (`credentials`, `mode`, …) are handed to `fetch`. */
export interface RequestOptions extends Omit<RequestInit, 'cache' | 'headers' | 'method' | 'body' | 'signal'> {
  /** `POST` by default, as in sveltekit-sse. */
  method?: string
  /** A function is asked anew before each attempt; the source then has a connection of its own. */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>)
  body?: BodyInit | null
  /** Aborting closes the source. */
  signal?: AbortSignal | null
  /** `false`: a hidden page has no connection, and resumes after the last event when it is shown. */
  openWhenHidden?: boolean
}

/** The nested form of the request's options, as in sveltekit-sse 0.14. */
export interface NestedOptions extends RequestOptions {
  cache?: RequestCache
  onopen?: (response: Response) => void
  onmessage?: (message: Message) => void
  onclose?: () => void
  onerror?: (error: Error) => void
}

/** How a {@link Source} asks, behaves and tells. */
export interface SourceOptions extends RequestOptions {
  /** The request in the form of sveltekit-sse 0.14; what stands beside it wins. */
  options?: NestedOptions
  /** Makes the requests: `globalThis.fetch` by default. */
  fetch?: typeof fetch
  /** Sources of the same request share a connection: true. */
  cache?: boolean
  /** Whether and when to connect again: `resilient`, after an end only when the server has asked for it. */
  reconnect?: 'resilient' | 'standard' | 'never' | ReconnectOptions
  /** How long an attempt may take until the answer's head has come, in milliseconds: 60,000. */
  connectTimeout?: number
  /** After so many milliseconds without a byte the connection is taken for dead; never by default. */
  readTimeout?: number
  /** Resumes after this event. */
  lastEventId?: string
  /** Larger events are left out and told of: 16 MiB. */
  maxEventBytes?: number
  /** How many events an iterator may leave unread: 1,024. Beyond it the oldest go, and it throws a `LaggedError` once. */
  buffer?: number
  /** One connection for all tabs of the origin: false. */
  tabs?: boolean
  open?: (notice: Notice) => void
  onopen?: (notice: Notice) => void
  close?: (notice: Notice) => void
  onclose?: (notice: Notice) => void
  error?: (notice: Notice) => void
  onerror?: (notice: Notice) => void
  onmessage?: (notice: Notice) => void
}

/** A connection to a URL that sends events, opened when somebody listens. */
export interface Source extends AsyncIterable<Message> {
  /**
   * The events of this name.
   *
   * @param event `message` by default
   * @throws when the name holds a line end
   */
  select(event?: string): Select
  /** Every event of any name, in order. Opens the connection; leaving the loop lets it go. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message>
  /** Where the connection stands. To subscribe does not open it. */
  readonly status: Readable<Status>
  /** The last event ID, which the next attempt sends; empty for none. */
  readonly lastEventId: string
  /** Opens the connection now, whether anyone listens or not. */
  connect(): void
  /** Drops the connection and makes a new one, without an error. */
  restart(): void
  /** Closes the connection, for all sources that share it. */
  close(): void
}
