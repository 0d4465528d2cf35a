import { SourceError } from '../errors.js'
import type { Link, Member } from '../member.js'
import { failureOf, isLocal } from '../notice.js'
import type { Closed, CloseReason, SourceErrorLike } from '../types.js'
import { Audience } from './audience.js'
import { Body } from './body.js'
import { dropCore, PIECE, type Core } from './core.js'
import { encodingOf, headersOf, isLoopback, isUnsent, retryAfterOf } from './request.js'
import { isHidden, isOffline, watchPage, type PageListener } from './page.js'
import { Input, Output, Session } from './session.js'
import { Setting, STANDARD, type RequestSpec, type Settings } from './settings.js'
import { errorOf, type Attempt } from './failure.js'

/** The parameters of a connection. */
export interface Plan {
  spec: RequestSpec
  settings: Settings
  lastEventId: string
  fetch: typeof fetch
  /** The connection is gone: the next source of the same request makes another. */
  onGone(): void
}

/** A request, the session that decides for it, and the sources that share it. */
export class Connection implements Link, PageListener {
  readonly #audience = new Audience()
  readonly #session: Session
  /** Ends a request that stands. */
  #abort: AbortController | undefined
  #attempt: Attempt
  #timer: ReturnType<typeof setTimeout> | undefined
  #isPerforming = false
  #state: 'open' | 'closing' | 'gone' = 'open'
  /**
   * While it is closing: the sources that asked to open it again, each with or without the policy's delay.
   */
  readonly #reopening = new Map<Member, boolean>()
  readonly #unwatch: () => void
  /** No network is needed for it. */
  readonly #isLoopback: boolean
  /** The state of the page that the session knows. */
  #isHidden = false
  #isOffline = false

  constructor(
    core: Core,
    readonly plan: Plan,
  ) {
    const { signal, url, init } = plan.spec
    this.#session = new Session(core, plan.settings, (init.method as string).toUpperCase(), plan.lastEventId)
    this.#attempt = { url }
    this.#isLoopback = isLoopback(url)
    this.#unwatch = watchPage(this)
    signal?.addEventListener('abort', this.close)
    this.#syncPage()
    this.#session.input(Input.start)
  }

  /** Adds a source; the first one starts it. */
  join(member: Member): void {
    this.#audience.join(member, this)
    this.#performOutputs()
  }

  // For its sources.

  async leave(member: Member): Promise<void> {
    if (!(await this.#audience.isAbandoned(member))) return
    if (this.#audience.size === 1) this.#input(Input.unsubscribed)
    else this.#audience.leave(member)
  }

  connect(member: Member, isLater = false): void {
    if (this.#state === 'closing') this.#reopening.set(member, isLater)
    else this.#input(Input.start)
  }

  restart(): void {
    this.#input(Input.restart)
  }

  readonly close = (): void => {
    this.#reopening.clear()
    this.#input(Input.close)
  }

  // For the page.

  hidden(hidden: boolean): void {
    this.#isHidden = hidden
    this.#input(hidden ? Input.hidden : Input.shown)
  }

  offline(offline: boolean): void {
    if (this.#isLoopback) return
    this.#isOffline = offline
    this.#input(offline ? Input.offline : Input.online)
  }

  woken(slept: number): void {
    this.#input(Input.woken, slept)
  }

  /** Checks the state of the page, because its events may get lost. */
  #syncPage(): void {
    if (this.#isHidden !== isHidden()) this.hidden(isHidden())
    if (this.#isOffline !== isOffline()) this.offline(isOffline())
  }

  // If bytes arrive while its page is frozen, Chromium never gives a fetch another byte: disconnect before.
  frozen(): void {
    this.#input(Input.frozen)
  }

  thawed(): void {
    this.#input(Input.thawed)
  }

  // For the session.

  #input(input: number, time?: number): void {
    if (this.#state !== 'open') return
    try {
      this.#session.input(input, time)
      // Received events that are not delivered yet are dropped.
      if (input === Input.close || input === Input.unsubscribed) this.#audience.stop()
      this.#performOutputs()
    } catch (trap) {
      this.#onTrap(trap)
    }
  }

  #performOutputs(): void {
    // Callbacks may cause inputs: their outputs are performed when this one is done.
    if (this.#isPerforming) return
    this.#isPerforming = true
    try {
      for (let output; this.#state === 'open' && (output = this.#session.output()); ) this.#perform(output)
      this.#setTimer()
    } finally {
      this.#isPerforming = false
    }
  }

  #perform(output: number): void {
    const audience = this.#audience
    switch (output) {
      case Output.connectFirst:
      case Output.connect:
        this.#disconnect()
        void this.#request()
        return audience.setStatus({ state: 'connecting' })
      case Output.disconnect:
        return this.#disconnect()
      case Output.opened:
        audience.setStatus({ state: 'open' })
        return audience.notify('open')
      case Output.waiting:
      case Output.paused: {
        const { failure, until, text } = this.#session.detail()
        const error = failure ? errorOf(failure, this.#attempt, text) : undefined
        const moment = Date.now() + (until - performance.now())
        const paused = { state: 'paused' } as const
        const status = output === Output.paused ? paused : ({ state: 'waiting', until: moment } as const)
        audience.setStatus(error ? { ...status, error } : status)
        if (error) audience.notifyError(error)
        return
      }
      default:
        this.#onClosed(output)
    }
  }

  #onClosed(output: number): void {
    const { failure, retries, text } = this.#session.detail()
    const reason = reasons[output - Output.local] as CloseReason
    const number = reason === 'no-content' ? 7 : failure
    const error = number ? errorOf(number, this.#attempt, text) : undefined
    const detail = { ...(error && { error }), ...(retries && { retries }) }
    this.#notifyClosed({ state: 'closed', reason, ...detail } as Closed)
    const staying = [...this.#reopening.keys()].filter((member) => member.isWanted())
    const isNow = [...this.#reopening.values()].includes(false)
    this.#reopening.clear()
    if (!staying.length) return this.#dispose(failureOf(reason, error))
    if (isLocal(reason)) {
      // A new connection: this one may have received events that were not delivered.
      this.#dispose(undefined)
      return reopen(staying, this.plan.settings)
    }
    this.#state = 'open'
    this.#audience.end(failureOf(reason, error), staying)
    this.#session.input(isNow ? Input.start : Input.startLater, this.#attempt.retryAfter)
  }

  /** Calls the close callbacks of all sources; they may ask to open it again. */
  #notifyClosed(status: Closed): void {
    const { reason, error } = status
    this.#state = 'closing'
    this.#audience.setStatus(status)
    if (error) this.#audience.notifyError(error)
    this.#audience.notify('close', { reason, error })
  }

  /** The module has trapped: it cannot be used any more. */
  #onTrap(cause: unknown): void {
    if (this.#state === 'gone') return
    dropCore()
    const error = new SourceError('wasm', `the WebAssembly module has failed: ${cause}`, { cause })
    this.#notifyClosed({ state: 'closed', reason: 'failed', error })
    this.#dispose(error)
  }

  #dispose(error: SourceErrorLike | undefined): void {
    this.#state = 'gone'
    this.#disconnect()
    clearTimeout(this.#timer)
    this.#unwatch()
    this.plan.spec.signal?.removeEventListener('abort', this.close)
    this.plan.onGone()
    this.#session.free()
    this.#audience.end(error)
  }

  /** Sets the timer to the session's deadline. */
  #setTimer(): void {
    if (this.#state !== 'open') return
    clearTimeout(this.#timer)
    const delay = this.#session.deadline()
    if (delay === undefined) return
    this.#timer = setTimeout(() => {
      // The read timeout does not run while delivery waits.
      if (this.#audience.delivering) this.#input(Input.reading)
      this.#syncPage()
      this.#input(Input.tick)
    }, Math.min(Math.ceil(delay), 0x7fffffff))
  }

  #disconnect(): void {
    this.#abort?.abort()
    this.#abort = undefined
  }

  /** One attempt: sends the request, and hands the answer to the session. */
  async #request(): Promise<void> {
    const { spec, fetch } = this.plan
    const abort = (this.#abort = new AbortController())
    const { signal } = abort
    const attempt: Attempt = (this.#attempt = { url: spec.url })
    this.#audience.response = undefined
    let body: Body | undefined
    this.#session.input(Input.nothingSent)
    try {
      // Events of the last attempt that still wait come first.
      await this.#audience.delivering
      attempt.code = 'headers'
      const [headers, isIdSent] = await headersOf(spec, this.#session.lastEventId)
      if (signal.aborted) return
      attempt.code = undefined
      if (!isIdSent) this.#audience.notifyError(new SourceError('last-event-id', unsendable))
      if (signal.aborted) return
      this.#session.input(Input.sent)
      const response = await fetch(spec.url, { ...spec.init, headers, signal })
      if (signal.aborted) return void response.body?.cancel().catch(() => {})
      this.#onAnswer(response)
      body = response.body ? new Body(response.body) : undefined
      // The same as `signal.aborted`, which is slow for every piece.
      while (body && this.#abort === abort) {
        const { done, value } = await body.read()
        if (this.#abort !== abort) return
        if (done) break
        const blocked = this.#feed(value)
        if (blocked) await blocked
        body.used(value)
      }
      if (signal.aborted) return
      // At most one: it needs no waiting for an iterator.
      void this.#audience.deliver(this.#session.ended())
      this.#performOutputs()
    } catch (cause) {
      if (signal.aborted) return
      if (cause instanceof WebAssembly.RuntimeError) return this.#onTrap(cause)
      attempt.cause = cause
      if (isUnsent(cause)) this.#input(Input.nothingSent)
      this.#input(Input.failed)
    } finally {
      if (signal.aborted) body?.cancel()
    }
  }

  #onAnswer(response: Response): void {
    const { headers, status } = response
    this.#audience.response = this.#attempt.response = response
    const retryAfter = (this.#attempt.retryAfter = retryAfterOf(headers))
    this.#session.answered(status, headers.get('content-type'), encodingOf(headers), retryAfter)
    this.#performOutputs()
  }

  /** Hands a piece to the session, and delivers its events; a promise if that has to wait for an iterator. */
  #feed(chunk: Uint8Array): Promise<void> | undefined {
    if (chunk.length > PIECE) return this.#feedPieces(chunk)
    const items = this.#session.feed(chunk)
    // A refusal's text may be as long as it is kept.
    if (!items.length) this.#performOutputs()
    return this.#audience.deliver(items)
  }

  async #feedPieces(chunk: Uint8Array): Promise<void> {
    const abort = this.#abort
    for (let at = 0; at < chunk.length && this.#abort === abort; at += PIECE) {
      await this.#feed(chunk.subarray(at, at + PIECE))
    }
  }
}

/** Opens a connection that was closed here again, after the policy's first delay, for these sources. */
export function reopen(members: readonly Member[], settings: Settings): void {
  const given = settings[Setting.delay] as number
  const delay = given < 0 ? (settings[Setting.preset] === STANDARD ? 3000 : 1000) : given
  for (const member of members) member.reopen(Math.max(delay, settings[Setting.minDelay] as number))
}

/** The reasons of the outputs from `local` on, in their order. */
const reasons: CloseReason[] = [
  'local', 'unsubscribed', 'ended', 'no-content', 'failed', 'gave-up', 'not-repeated',
]

const unsendable = 'the last event ID cannot be sent in a header: the attempt goes without it'
