import { SourceError } from '../errors.js'
import type { Link, Member } from '../member.js'
import { failureOf, isLocal } from '../notice.js'
import type { Closed, CloseReason, SourceErrorLike } from '../types.js'
import { Audience } from './audience.js'
import { Body } from './body.js'
import { dropCore, PIECE, type Core } from './core.js'
import { encodingOf, headersOf, isLoopback, isUnsent, retryAfterOf } from './fetching.js'
import { isHidden, isOffline, watchPage, type PageListener } from './page.js'
import { Input, Output, Session } from './session.js'
import { Setting, STANDARD, type Asked, type Settings } from './settings.js'
import { errorOf, type Attempt } from './trouble.js'

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
  readonly #audience = new Audience()
  readonly #session: Session
  /** Ends a request that stands. */
  #abort: AbortController | undefined
  #attempt: Attempt
  #timer: ReturnType<typeof setTimeout> | undefined
  #obeying = false
  #state: 'open' | 'closing' | 'gone' = 'open'
  /** While it is closing: the sources that asked to open it again, and whether after the policy's delay. */
  readonly #again = new Map<Member, boolean>()
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
    const { signal, url, init } = plan.asked
    this.#session = new Session(core, plan.settings, (init.method as string).toUpperCase(), plan.lastEventId)
    this.#attempt = { url }
    this.#isLoopback = isLoopback(url)
    this.#unwatch = watchPage(this)
    signal?.addEventListener('abort', this.close)
    this.#look()
    this.#session.tell(Input.start)
  }

  /** A source joins; the first one sets it going. */
  join(member: Member): void {
    this.#audience.join(member, this)
    this.#obey()
  }

  // For its sources.

  async leave(member: Member): Promise<void> {
    if (!(await this.#audience.hasLost(member))) return
    if (this.#audience.size === 1) this.#input(Input.unsubscribed)
    else this.#audience.leave(member)
  }

  connect(member: Member, isLater = false): void {
    if (this.#state === 'closing') this.#again.set(member, isLater)
    else this.#input(Input.start)
  }

  restart(): void {
    this.#input(Input.restart)
  }

  readonly close = (): void => {
    this.#again.clear()
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

  /** Looks at the page, one of whose events may have got lost. */
  #look(): void {
    if (this.#isHidden !== isHidden()) this.hidden(isHidden())
    if (this.#isOffline !== isOffline()) this.offline(isOffline())
  }

  // Chromium never gives a fetch another byte if some came while its page was frozen: there must be none then.
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
      this.#session.tell(input, time)
      // What was received and not delivered yet is not delivered any more.
      if (input === Input.close || input === Input.unsubscribed) this.#audience.stop()
      this.#obey()
    } catch (trap) {
      this.#broken(trap)
    }
  }

  #obey(): void {
    // What is called from here may come back; it is heard when this is done.
    if (this.#obeying) return
    this.#obeying = true
    try {
      for (let output; this.#state === 'open' && (output = this.#session.output()); ) this.#act(output)
      this.#wind()
    } finally {
      this.#obeying = false
    }
  }

  #act(output: number): void {
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
        return audience.tell('open')
      case Output.waiting:
      case Output.paused: {
        const { trouble, until, text } = this.#session.detail()
        const error = trouble ? errorOf(trouble, this.#attempt, text) : undefined
        const moment = Date.now() + (until - performance.now())
        const where = output === Output.paused ? ({ state: 'paused' } as const) : ({ state: 'waiting', until: moment } as const)
        audience.setStatus(error ? { ...where, error } : where)
        if (error) audience.tellError(error)
        return
      }
      default:
        this.#closed(output)
    }
  }

  #closed(output: number): void {
    const { trouble, retries, text } = this.#session.detail()
    const reason = reasons[output - Output.local] as CloseReason
    const number = reason === 'no-content' ? 7 : trouble
    const error = number ? errorOf(number, this.#attempt, text) : undefined
    this.#close({ state: 'closed', reason, ...(error && { error }), ...(retries && { retries }) } as Closed)
    const staying = [...this.#again.keys()].filter((member) => member.isWanted())
    const isNow = [...this.#again.values()].includes(false)
    this.#again.clear()
    if (!staying.length) return this.#gone(failureOf(reason, error))
    if (isLocal(reason)) {
      // A new connection: this one may have received events that were not delivered.
      this.#gone(undefined)
      return reopen(staying, this.plan.settings)
    }
    this.#state = 'open'
    this.#audience.end(failureOf(reason, error), staying)
    this.#session.tell(isNow ? Input.start : Input.startLater, this.#attempt.retryAfter)
  }

  /** Tells all sources that it is closed; their callbacks may ask to open it again. */
  #close(status: Closed): void {
    const { reason, error } = status
    this.#state = 'closing'
    this.#audience.setStatus(status)
    if (error) this.#audience.tellError(error)
    this.#audience.tell('close', { reason, error })
  }

  /** The module has trapped: it is of no use any more. */
  #broken(cause: unknown): void {
    if (this.#state === 'gone') return
    dropCore()
    const error = new SourceError('wasm', `the WebAssembly module has failed: ${cause}`, { cause })
    this.#close({ state: 'closed', reason: 'failed', error })
    this.#gone(error)
  }

  #gone(error: SourceErrorLike | undefined): void {
    this.#state = 'gone'
    this.#disconnect()
    clearTimeout(this.#timer)
    this.#unwatch()
    this.plan.asked.signal?.removeEventListener('abort', this.close)
    this.plan.onGone()
    this.#session.free()
    this.#audience.end(error)
  }

  /** Sets the timer to the session's deadline. */
  #wind(): void {
    if (this.#state !== 'open') return
    clearTimeout(this.#timer)
    const delay = this.#session.deadline()
    if (delay === undefined) return
    this.#timer = setTimeout(() => {
      // Silence cannot be measured while nobody reads.
      if (this.#audience.delivering) this.#input(Input.reading)
      this.#look()
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
    this.#audience.response = undefined
    let body: Body | undefined
    this.#session.tell(Input.nothingSent)
    try {
      // Events of the last attempt that still wait come first.
      await this.#audience.delivering
      attempt.code = 'headers'
      const [headers, isIdSent] = await headersOf(asked, this.#session.lastEventId)
      if (signal.aborted) return
      attempt.code = undefined
      if (!isIdSent) this.#audience.tellError(new SourceError('last-event-id', unsendable))
      if (signal.aborted) return
      this.#session.tell(Input.sent)
      const response = await fetch(asked.url, { ...asked.init, headers, signal })
      if (signal.aborted) return void response.body?.cancel().catch(() => {})
      this.#answered(response)
      body = response.body ? new Body(response.body) : undefined
      // As `signal.aborted` says, which is dear to ask for every piece.
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
      this.#obey()
    } catch (cause) {
      if (signal.aborted) return
      if (cause instanceof WebAssembly.RuntimeError) return this.#broken(cause)
      attempt.cause = cause
      if (isUnsent(cause)) this.#input(Input.nothingSent)
      this.#input(Input.failed)
    } finally {
      if (signal.aborted) body?.cancel()
    }
  }

  #answered(response: Response): void {
    const { headers, status } = response
    this.#audience.response = this.#attempt.response = response
    const retryAfter = (this.#attempt.retryAfter = retryAfterOf(headers))
    this.#session.answered(status, headers.get('content-type'), encodingOf(headers), retryAfter)
    this.#obey()
  }

  /** Hands a piece to the session, and delivers its events; a promise if that has to wait for an iterator. */
  #feed(chunk: Uint8Array): Promise<void> | undefined {
    if (chunk.length > PIECE) return this.#feedPieces(chunk)
    const items = this.#session.feed(chunk)
    // A refusal's text may be as long as it is kept.
    if (!items.length) this.#obey()
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

/** Of the outputs from `local` on, in their order. */
const reasons: CloseReason[] = ['local', 'unsubscribed', 'ended', 'no-content', 'failed', 'gave-up', 'not-repeated']

const unsendable = 'the last event ID cannot be sent in a header: the attempt goes without it'
