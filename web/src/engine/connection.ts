import { SourceError } from '../errors.js'
import type { Link, Member } from '../member.js'
import type { CloseReason, SourceErrorLike, Status } from '../types.js'
import { dropCore, PIECE, type Core } from './core.js'
import { encodingOf, headersOf, isLoopback, retryAfterOf } from './fetching.js'
import { hearsMessages, tell } from '../notice.js'
import { isHidden, isOffline, watchPage, type PageListener } from './page.js'
import { Input, Output, Session, type Item } from './session.js'
import type { Asked, Settings } from './settings.js'
import { errorOf, type Attempt } from './trouble.js'
import { turn } from './turn.js'

/** What a connection is made of. */
export interface Plan {
  asked: Asked
  settings: Settings
  lastEventId: string
  fetch: typeof fetch
  /** The connection is gone: the next source of the same request makes another. */
  onGone(): void
}

/** A request, the session that decides for it, and the sources that share it. */
export class Connection implements Link, PageListener {
  readonly #members = new Set<Member>()
  readonly #session: Session
  #status: Status = { state: 'connecting' }
  /** Ends a request that stands. */
  #abort: AbortController | undefined
  #attempt: Attempt
  #timer: ReturnType<typeof setTimeout> | undefined
  #obeying = false
  /** While it is being closed: whether it is to be opened again, and when. */
  #again: 'now' | 'later' | undefined
  #state: 'open' | 'closing' | 'gone' = 'open'
  /** Events that came, while an iterator is full. */
  #delivering: Promise<void> | undefined
  #cached = false
  readonly #unwatch: () => void

  /** @throws RangeError when the last event ID is none */
  constructor(
    core: Core,
    readonly plan: Plan,
  ) {
    this.#session = new Session(core, plan.settings, plan.lastEventId)
    this.#attempt = { url: plan.asked.url }
    this.#unwatch = watchPage(this)
    plan.asked.signal?.addEventListener('abort', this.#aborted)
    if (isHidden()) this.#session.tell(Input.hidden)
    if (isOffline() && !isLoopback(plan.asked.url)) this.#session.tell(Input.offline)
    this.#session.tell(Input.start)
  }

  /** A source joins; the first one sets it going. */
  join(member: Member): void {
    this.#members.add(member)
    member.joined(this)
    member.setStatus(this.#status)
    this.#obey()
  }

  // For its sources.

  leave(member: Member): void {
    if (!this.#members.has(member)) return
    if (this.#members.size === 1) return this.#input(Input.unsubscribed)
    this.#members.delete(member)
    member.setStatus({ state: 'closed', reason: 'unsubscribed' })
    tell(member, 'close', { response: this.#attempt.response, reason: 'unsubscribed' })
    member.left()
  }

  connect(): void {
    if (this.#state === 'closing') this.#again = 'now'
    else this.#input(Input.start)
  }

  restart(): void {
    this.#input(Input.restart)
  }

  close(): void {
    this.#again = undefined
    this.#input(Input.close)
  }

  // For the page.

  hidden(hidden: boolean): void {
    this.#input(hidden ? Input.hidden : Input.shown)
  }

  offline(offline: boolean): void {
    if (!isLoopback(this.plan.asked.url)) this.#input(offline ? Input.offline : Input.online)
  }

  // Chromium never gives a fetch another byte if some came while its page was frozen: it has to be asked for again.
  frozen(): void {
    this.cached()
  }

  cached(): void {
    this.#cached = true
    this.#disconnect()
  }

  thawed(): void {
    this.#input(Input.thawed)
    if (!this.#cached) return
    this.#cached = false
    this.#input(Input.restart)
  }

  readonly #aborted = (): void => this.close()

  // What the session says is done.

  #input(input: number, retryAfter?: number): void {
    if (this.#state !== 'open') return
    try {
      this.#session.tell(input, retryAfter)
      this.#obey()
    } catch (trap) {
      this.#broken(trap)
    }
  }

  #obey(): void {
    // What is called from here may come back; it is heard when this is done.
    if (this.#obeying) return
    this.#obeying = true
    for (let output; this.#state === 'open' && (output = this.#session.output()); ) this.#act(output)
    this.#obeying = false
    this.#wind()
  }

  #act(output: number): void {
    switch (output) {
      case Output.connectFirst:
      case Output.connect:
        this.#disconnect()
        if (!this.#cached) void this.#request()
        return this.#setStatus({ state: 'connecting' })
      case Output.disconnect:
        return this.#disconnect()
      case Output.opened:
        this.#setStatus({ state: 'open' })
        return this.#tell('open', {})
      case Output.waiting:
      case Output.paused: {
        const { trouble, until, text } = this.#session.detail()
        const error = trouble ? errorOf(trouble, this.#attempt, text) : undefined
        const state = output === Output.paused ? 'paused' : 'waiting'
        const moment = Date.now() + (until - performance.now())
        this.#setStatus({ state, ...(state === 'waiting' && { until: moment }), ...(error && { error }) })
        if (error) this.#tell('error', { error })
        return
      }
      default:
        this.#closed(output)
    }
  }

  #closed(output: number): void {
    const { trouble, retries, text } = this.#session.detail()
    const reason = reasons[output] as CloseReason
    const number = reason === 'no-content' ? 7 : trouble
    const error = number ? errorOf(number, this.#attempt, text) : undefined
    const later = () => {
      if (reason === 'local' || reason === 'unsubscribed') return
      if (this.#state === 'closing') this.#again ??= 'later'
    }
    this.#state = 'closing'
    this.#setStatus({ state: 'closed', reason, ...(error && { error }), ...(retries && { retries }) })
    if (error) this.#tell('error', { error })
    for (const member of [...this.#members]) {
      const connect = () => (this.#state === 'closing' ? later() : member.connect())
      tell(member, 'close', { response: this.#attempt.response, reason, error, connect })
    }
    if (this.#again) return this.#reopen(this.#again)
    this.#gone(reason === 'failed' || reason === 'gave-up' ? error : undefined)
  }

  #reopen(again: 'now' | 'later'): void {
    this.#state = 'open'
    this.#again = undefined
    this.#session.tell(again === 'now' ? Input.start : Input.startLater, this.#attempt.retryAfter)
  }

  /** The module has trapped: it is of no use any more. */
  #broken(cause: unknown): void {
    if (this.#state === 'gone') return
    dropCore()
    this.#state = 'closing'
    const error = new SourceError('wasm', `the WebAssembly module has failed: ${cause}`, { cause })
    this.#setStatus({ state: 'closed', reason: 'failed', error })
    this.#tell('error', { error })
    this.#tell('close', { error, reason: 'failed' })
    this.#gone(error)
  }

  #gone(error: SourceErrorLike | undefined): void {
    this.#state = 'gone'
    this.#disconnect()
    clearTimeout(this.#timer)
    this.#unwatch()
    this.plan.asked.signal?.removeEventListener('abort', this.#aborted)
    this.plan.onGone()
    this.#session.free()
    for (const member of this.#members) member.left(error)
    this.#members.clear()
  }

  #setStatus(status: Status): void {
    this.#status = status
    for (const member of [...this.#members]) member.setStatus(status)
  }

  #tell(kind: 'open' | 'error' | 'close', told: { error?: SourceErrorLike; reason?: CloseReason }): void {
    for (const member of [...this.#members]) tell(member, kind, { response: this.#attempt.response, ...told })
  }

  /** Sets the timer to the session's deadline. */
  #wind(): void {
    if (this.#state !== 'open') return
    clearTimeout(this.#timer)
    const delay = this.#session.deadline()
    if (delay === undefined) return
    this.#timer = setTimeout(() => {
      // Who does not read cannot say that nothing comes.
      if (this.#delivering) this.#session.tell(Input.reading)
      this.#input(Input.tick)
    }, Math.min(Math.ceil(delay), 0x7fffffff))
  }

  #disconnect(): void {
    this.#abort?.abort()
    this.#abort = undefined
  }

  /** One attempt: asks, and hands what comes to the session. */
  async #request(): Promise<void> {
    const { asked, fetch } = this.plan
    const abort = (this.#abort = new AbortController())
    const { signal } = abort
    const attempt: Attempt = (this.#attempt = { url: asked.url })
    let reader: ReadableStreamDefaultReader<Uint8Array> | undefined
    try {
      // Events of the last attempt that still wait come first.
      await this.#delivering
      attempt.code = 'headers'
      const [headers, isIdSent] = await headersOf(asked, this.#session.lastEventId)
      if (signal.aborted) return
      attempt.code = undefined
      if (!isIdSent) this.#tell('error', { error: new SourceError('last-event-id', unsendable) })
      if (signal.aborted) return
      const response = await fetch(asked.url, { ...asked.init, headers, signal })
      if (signal.aborted) return void response.body?.cancel().catch(() => {})
      attempt.response = response
      attempt.retryAfter = retryAfterOf(response.headers)
      const type = response.headers.get('content-type')
      this.#session.answered(response.status, type, encodingOf(response.headers), attempt.retryAfter)
      this.#obey()
      reader = response.body?.getReader()
      while (reader && !signal.aborted) {
        const { done, value } = await reader.read()
        if (signal.aborted) return
        if (done) break
        const blocked = this.#feed(value)
        if (blocked) await blocked
      }
      if (!signal.aborted) this.#input(Input.ended)
    } catch (cause) {
      if (signal.aborted) return
      if (cause instanceof WebAssembly.RuntimeError) return this.#broken(cause)
      attempt.cause = cause
      this.#input(Input.failed)
    } finally {
      if (signal.aborted) reader?.cancel().catch(() => {})
    }
  }

  /** Delivers the events of a piece; a promise if that has to wait for an iterator. */
  #feed(chunk: Uint8Array): Promise<void> | undefined {
    if (chunk.length <= PIECE) return this.#deliver(this.#session.feed(chunk), 0)
    return this.#feedPieces(chunk)
  }

  async #feedPieces(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length && this.#state === 'open'; at += PIECE) {
      await this.#deliver(this.#session.feed(chunk.subarray(at, at + PIECE)), 0)
    }
  }

  #deliver(messages: readonly Item[], from: number): Promise<void> | undefined {
    for (let i = from; i < messages.length; i++) {
      if (this.#state !== 'open') return
      if (this.#give(messages[i] as Item)) {
        return (this.#delivering = this.#deliverSlowly(messages, i + 1))
      }
    }
    return
  }

  async #deliverSlowly(messages: readonly Item[], from: number): Promise<void> {
    // As long as who is full reads on, the others wait.
    do await turn()
    while ([...this.#members].some((member) => member.isReading()))
    this.#delivering = undefined
    await this.#deliver(messages, from)
    if (this.#state === 'open') this.#session.tell(Input.reading)
  }

  /** Gives an event to all; true when an iterator is full. */
  #give(message: Item): boolean {
    if (message.kind === 'too-large') this.#tell('error', { error: new SourceError('too-large', leftOut) })
    let isFull = false
    for (const member of this.#members) {
      member.lastEventId = message.id
      if (message.kind) continue
      if (hearsMessages(member)) tell(member, 'message', { message, response: this.#attempt.response })
      if (this.#state === 'open' && member.take(message)) isFull = true
    }
    return isFull
  }
}

const reasons: Record<number, CloseReason> = {
  [Output.local]: 'local',
  [Output.unsubscribed]: 'unsubscribed',
  [Output.ended]: 'ended',
  [Output.noContent]: 'no-content',
  [Output.failed]: 'failed',
  [Output.gaveUp]: 'gave-up',
}

const unsendable = 'the last event ID cannot be sent in a header: the attempt goes without it'
const leftOut = 'an event was larger than `maxEventBytes` and was left out: raise it if such events are expected'
