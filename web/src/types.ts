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
   * @returns a function that ends the subscription
   */
  subscribe(run: (value: T) => void, invalidate?: () => void): () => void
  /** The value, without subscribing. */
  get(): T
}

/** The argument of `or` in {@link Select.json}: data that is not JSON. */
export interface JsonFailure<T> {
  error: Error
  /** The data as it came. */
  raw: string
  /** The last value that was parsed, `null` before the first. */
  previous: T | null
}

/** A store of the latest value, and an async iterator over every value. */
export type Values<T> = Readable<T | null> & AsyncIterable<T>

/**
 * The events of one name: a store of the latest data, and an async iterator of all. `T` is the type of their
 * JSON.
 */
export interface Select<T = unknown> extends Readable<string>, AsyncIterable<Message> {
  /**
   * The data parsed as JSON; `null` until the first event.
   *
   * @param or returns the value for data that is not JSON; `undefined` skips the event. Without `or` the
   * store becomes `null`, and an iterator throws.
   */
  json<U = T>(or?: (failure: JsonFailure<U>) => U | null | undefined): Values<U>
  /** The result of `fn` for the data; `null` until the first event. */
  transform<U>(fn: (data: string) => U): Values<U>
}

/** The state of a connection. */
export type Status =
  | (Plain & { readonly state: 'idle' | 'connecting' | 'open' })
  /** The next attempt follows at `until`, in milliseconds since 1970. */
  | (Plain<'until' | 'error'> & {
      readonly state: 'waiting'
      readonly until: number
      readonly error?: SourceErrorLike
    })
  /** The next attempt follows when the page is shown or moves again. */
  | (Plain<'error'> & { readonly state: 'paused'; readonly error?: SourceErrorLike })
  | Closed

/** A connection that has closed. */
export type Closed =
  | (Plain<'reason'> & { readonly state: 'closed'; readonly reason: 'local' | 'unsubscribed' | 'ended' })
  | (Plain<'reason' | 'error'> & {
      readonly state: 'closed'
      readonly reason: 'no-content' | 'failed' | 'not-repeated'
      readonly error: SourceErrorLike
    })
  | (Plain<'reason' | 'error' | 'retries'> & {
      readonly state: 'closed'
      readonly reason: 'gave-up'
      readonly error: SourceErrorLike
      /** The number of retries before it gave up. */
      readonly retries: number
    })

/** Members that other states have, so that they can be read without asking for the state. */
type Plain<Own extends string = never> = {
  readonly [Name in Exclude<'until' | 'error' | 'reason' | 'retries', Own>]?: undefined
}

/**
 * Why a connection is closed: `local` by `close` or `signal`, `unsubscribed` because the last subscriber
 * left, `ended` by the server, `no-content` by 204, `failed` by a final error, `gave-up` after too many
 * retries, `not-repeated` by an error after which the request must not be sent again, because it may have had
 * an effect.
 */
export type CloseReason = Closed['reason']

/** The kind of an error. */
export type SourceErrorCode =
  | 'url' | 'headers' | 'connect' | 'connect-timeout' | 'read' | 'read-timeout' | 'ended' | 'no-content'
  | 'status' | 'content-type' | 'content-encoding' | 'too-large' | 'incomplete-event' | 'last-event-id'
  | 'frozen' | 'callback' | 'wasm'

/** A `SourceError` as its readers see it. */
export interface SourceErrorLike extends Error {
  readonly code: SourceErrorCode
  /** The status of an answer that is no event stream. */
  readonly status?: number
  /** The beginning of its body, at most 16 KiB. */
  readonly body?: string
  /** The delay that its `Retry-After` asks for, in milliseconds. */
  readonly retryAfter?: number
}

/** The argument of callbacks. */
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
  /** The response's status; 0 without a response. */
  readonly status: number
  readonly statusText: string
  readonly headers: Headers
  readonly response?: Response
  readonly error?: SourceErrorLike
  readonly reason?: CloseReason
  /**
   * Connects again while somebody subscribes, or since `Source.connect` opened the connection; without either
   * it does nothing. Within the callback of a close that ended a connection the attempt follows after the
   * policy's delay, else at once.
   */
  connect(): void
  close(): void
}

/** Whether and when a connection is made again. Times are in milliseconds. */
export interface ReconnectOptions {
  /** The preset of options that are not set here: `resilient` by default. */
  preset?: 'resilient' | 'standard' | 'never'
  /** Before the first retry: 1,000, and 3,000 in `standard`. */
  delay?: number
  /** No delay is shorter: 100. */
  minDelay?: number
  /** No delay grows longer: 30,000. */
  maxDelay?: number
  /** The longest delay that a server may ask for: 3,600,000. */
  maxServerDelay?: number
  /** So many retries in a row that fail are the end: none by default. */
  maxRetries?: number
  /** Delays have a random part: true. */
  jitter?: boolean
  /** After the server has ended the stream: always; when it has sent `retry:` (the default); never. */
  afterEnd?: 'always' | 'asked' | 'never'
  /**
   * The request may be sent again when it may have had an effect: true for GET, and for POST without a body.
   * For other requests it is false, and they are sent again only if nothing was sent, or to resume after an
   * event.
   */
  repeatLikeSafe?: boolean
}

/** The request; other members of `RequestInit` (`credentials`, `mode`, …) are handed to `fetch`. */
export interface RequestOptions extends Omit<RequestInit, 'headers' | 'method' | 'body' | 'signal'> {
  /** `POST` by default, as in sveltekit-sse. */
  method?: string
  /** A function is called before each attempt; without a `key`, the source then has its own connection. */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>)
  /** A source with a body has its own connection. */
  body?: BodyInit | null
  /** Aborting closes the source. */
  signal?: AbortSignal | null
  /** `false`: a hidden page has no connection, and resumes after the last event when it is shown. */
  openWhenHidden?: boolean
}

/** The nested form of the request's options, as in sveltekit-sse 0.14. */
export interface NestedOptions extends RequestOptions {
  onopen?: (response: Response) => void
  onmessage?: (message: Message) => void
  onclose?: () => void
  onerror?: (error: Error) => void
}

/** The options of a {@link Source}. */
export interface SourceOptions extends RequestOptions {
  /** The request in the form of sveltekit-sse 0.14; options beside it win. */
  options?: NestedOptions
  /** Makes the requests: `globalThis.fetch` by default. */
  fetch?: typeof fetch
  /**
   * GET and POST requests without a body share a connection with the same request elsewhere in the page:
   * true. The second source of a shared connection receives the events from then on, not those before.
   */
  share?: boolean
  /**
   * Names the events and their recipient, such as a user's id. Sources and tabs share a connection only if
   * their keys are equal. With a key they share it also if `headers` is a function or the request carries
   * cookies.
   */
  key?: string
  /** Whether and when to connect again: `resilient`, after an end only when the server has asked for it. */
  reconnect?: 'resilient' | 'standard' | 'never' | ReconnectOptions
  /** How long an attempt may take until the answer's head has come, in milliseconds: 60,000. */
  connectTimeout?: number
  /** After so many milliseconds without a byte the connection is taken for dead; never by default. */
  readTimeout?: number
  /** Resumes after this event. */
  lastEventId?: string
  /** Larger events are skipped and reported: 16 MiB. */
  maxEventBytes?: number
  /** Accepts an event without a blank line when the stream ends: false, as the HTML standard says (9.2.6). */
  acceptIncompleteEvent?: boolean
  /**
   * Events that an iterator may leave unread: 1,024. Beyond it the oldest go, and it throws a `LaggedError`
   * once.
   */
  buffer?: number
  /**
   * One connection for all tabs of the origin: false. Tabs whose request carries cookies, or whose headers
   * are from a function, share only with a `key`.
   */
  tabs?: boolean
  open?: (notice: Notice) => void
  onopen?: (notice: Notice) => void
  close?: (notice: Notice) => void
  onclose?: (notice: Notice) => void
  error?: (notice: Notice) => void
  onerror?: (notice: Notice) => void
  onmessage?: (notice: Notice) => void
}

/**
 * A connection to a URL that sends events, opened by the first subscriber. `E` maps event names to their JSON
 * types.
 */
export interface Source<E extends object = Record<string, unknown>> extends AsyncIterable<Message> {
  /**
   * The events of this name.
   *
   * @param event `message` by default
   * @throws when the name holds a line end
   */
  select<K extends keyof E & string>(event: K): Select<E[K]>
  select(): Select<'message' extends keyof E ? E['message'] : unknown>
  /** Every event of any name, in order. Opens the connection; leaving the loop lets it go. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message>
  /** Where the connection stands. To subscribe does not open it. */
  readonly status: Readable<Status>
  /** The last event ID, which the next attempt sends; empty for none. */
  readonly lastEventId: string
  /** Opens the connection now, with or without subscribers; also after `close`. */
  connect(): void
  /** Drops the connection and makes a new one, without an error. */
  restart(): void
  /**
   * Closes the connection, for all sources that share it; also cancels an attempt that a close callback asked
   * for.
   */
  close(): void
}
