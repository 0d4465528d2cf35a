import { SourceError } from './errors.js'
import { iterate, type Mapping, type Sink } from './inbox.js'
import { loadEngine } from './lazy.js'
import { callBack, reportThrown } from './notice.js'
import { Selected } from './select.js'
import { Store } from './store.js'
import type { Link, Member } from './member.js'
import type {
  Closed, Message, Readable, Select, Source, SourceErrorLike, SourceOptions, Status,
} from './types.js'

let loading: ReturnType<typeof loadEngine> | undefined

/** Loads the engine; returns a function that opens the source's connection. */
async function prepare(source: Member): Promise<() => void> {
  try {
    // A promise that is kept takes only microtasks, where `import` takes longer.
    return await (await (loading ??= loadEngine())).prepare(source)
  } catch (cause) {
    loading = undefined
    if (cause instanceof SourceError) throw cause
    throw new SourceError('wasm', `the client cannot be loaded: ${cause}`, { cause })
  }
}

/** Pages and workers connect for a store; where pages are rendered, a store keeps its first value. */
export const isClient = (): boolean => typeof document !== 'undefined' || typeof importScripts === 'function'
declare const importScripts: unknown

/** A source: its subscribers, and its connection in the engine. */
export class Events implements Source, Member {
  readonly from: string | URL
  readonly options: SourceOptions
  readonly unanswered: { status: number; statusText: string } = { status: 0, statusText: '' }
  lastEventId: string
  readonly #status = new Store<Status>({ state: 'idle' })
  /** Another list whenever one comes or goes. */
  #sinks: readonly Sink[] = []
  readonly #selects = new Map<string, Select>()
  #link: Link | undefined
  /** It is to be open: since the last close it got a subscriber, or `connect` was called. */
  #active = false
  /**
   * It stays open without subscribers: `connect` was called, and no `close` or leave of the last one
   * followed.
   */
  #held = false
  #joining = false
  /** Opens it again, after a callback of its close has asked for it. */
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(from: string | URL, options: SourceOptions) {
    this.from = from
    this.options = options
    this.lastEventId = options.lastEventId ?? ''
  }

  // For the page. Methods are properties, so that they work without their source: `onclick={source.close}`.

  get status(): Readable<Status> {
    return this.#status
  }

  readonly select = (event = 'message'): Select => {
    if (/[\r\n]/.test(event)) {
      throw new Error(`The name of the event must not contain new line characters, received "${event}"`)
    }
    let select = this.#selects.get(event)
    if (!select) this.#selects.set(event, (select = new Selected(this, event)))
    return select
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    return this.iterate(undefined, (message) => message)
  }

  readonly connect = (): void => {
    this.#held = true
    this.#open()
    this.#link?.connect(this)
  }

  readonly restart = (): void => {
    this.#link?.restart()
  }

  readonly close = (): void => {
    this.#held = false
    clearTimeout(this.#timer)
    if (this.#link) this.#link.close()
    else if (this.#active) this.closedAlone({ state: 'closed', reason: 'local' })
  }

  // For its stores and iterators.

  iterate<T>(event: string | undefined, map: Mapping<T>): AsyncIterableIterator<T> {
    return iterate((sink) => this.listen(sink), event, Math.max(1, this.options.buffer ?? 1024), map)
  }

  /**
   * Gives events to the sink from now on.
   *
   * @param connects the first one opens the connection
   * @returns a function that ends this
   */
  listen(sink: Sink, connects = isClient()): () => void {
    this.#sinks = [...this.#sinks, sink]
    // An iterator that waits for a closed connection would wait for ever.
    if (sink.end || (connects && this.#sinks.length === 1)) this.#open()
    return () => {
      if (!this.#sinks.includes(sink)) return
      this.#sinks = this.#sinks.filter((other) => other !== sink)
      if (this.#sinks.length) return
      this.#held = false
      this.unused()
      this.#link?.leave(this)
    }
  }

  readonly reportThrown = (error: unknown): void => reportThrown(this, error)

  /** The last subscriber has left, or the connection has closed. */
  protected unused(): void {}

  // For the engine.

  reconnect(): void {
    const { signal, options } = this.options
    const isWanted = this.#held || this.#sinks.length > 0
    if (!isWanted || (signal ?? options?.signal)?.aborted) return
    if (this.#link) this.#link.connect(this, true)
    else this.#open()
  }

  reopen(delay: number): void {
    this.#timer = setTimeout(() => this.reconnect(), delay)
  }

  isWanted(): boolean {
    return this.#active && (this.#held || this.#sinks.length > 0)
  }

  take(message: Message): boolean {
    let isFull = false
    const sinks = this.#sinks
    for (const sink of sinks) {
      if (sink.event !== undefined && sink.event !== message.event) continue
      // It may have gone meanwhile.
      if (this.#sinks !== sinks && !this.#sinks.includes(sink)) continue
      try {
        if (sink.take(message)) isFull = true
      } catch (error) {
        this.reportThrown(error)
      }
    }
    return isFull
  }

  isReading(): boolean {
    let isReading = false
    for (const sink of this.#sinks) if (sink.isReading?.()) isReading = true
    return isReading
  }

  setStatus(status: Status): void {
    const isSame = status.state === 'connecting' && this.#status.get().state === 'connecting'
    if (!isSame) this.#status.set(status, this.reportThrown)
  }

  joined(link: Link): void {
    this.#link = link
  }

  left(error?: SourceErrorLike): void {
    this.#link = undefined
    this.#active = false
    this.unused()
    const sinks = this.#sinks
    this.#sinks = sinks.filter((sink) => !sink.end)
    for (const sink of sinks) sink.end?.(error)
  }

  // It has left before its callbacks run: they may close it, which changes nothing, or open it again.
  closedAlone(status: Closed, response?: Response): void {
    const { reason, error } = status
    this.left(error)
    this.setStatus(status)
    if (error) callBack(this, 'error', { error })
    callBack(this, 'close', { reason, error, response })
  }

  #open(): void {
    this.#active = true
    clearTimeout(this.#timer)
    if (this.#link || this.#joining) return
    this.#joining = true
    this.setStatus({ state: 'connecting' })
    // Also when the engine is loaded already: the order of events must not depend on that.
    prepare(this)
      .then((join) => {
        this.#joining = false
        if (this.isWanted()) join()
        else if (this.#active) this.closedAlone({ state: 'closed', reason: 'unsubscribed' })
      })
      .catch((error: SourceErrorLike) => {
        // Its callbacks do not open it: that would fail again at once, and call them again.
        this.#joining = true
        this.closedAlone({ state: 'closed', reason: 'failed', error })
        this.#active = this.#joining = false
      })
  }
}
