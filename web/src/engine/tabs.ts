import { SourceError } from '../errors.js'
import type { Link, Member } from '../member.js'
import { failureOf } from '../notice.js'
import type { CloseReason, Notice, SourceErrorCode, SourceErrorLike, Status } from '../types.js'
import { Audience } from './audience.js'
import { Connection, reopen, type Plan } from './connection.js'
import type { Core } from './core.js'
import { isHidden, watchPage, type PageListener } from './page.js'
import type { Item } from './session.js'
import { Setting } from './settings.js'
import { Tab, type TabMessage } from './tab.js'
import { macrotask } from './macrotask.js'

/** The leader's messages besides events: the status, and a callback to call. */
interface LeaderState {
  status: PlainStatus
  callback?: 'open' | 'error' | 'close' | undefined
  response?: { status: number; statusText: string; headers: [string, string][] } | undefined
}

type PlainStatus = { [Name in 'state' | 'until' | 'reason' | 'retries']?: Status[Name] } & {
  error?: PlainError
}
type PlainError = {
  code: SourceErrorCode
  message: string
  status?: number
  body?: string
  retryAfter?: number
}

/** A command to the leader, whose connection is that of all tabs. */
type Command = { kind: 'command'; command: 'connect' | 'restart' }

/**
 * Whether tabs can share: a browser may have no channels or locks, or refuse them to a page without storage.
 */
export async function canShareTabs(): Promise<boolean> {
  try {
    new BroadcastChannel('').close()
    await navigator.locks.query()
    return true
  } catch {
    return false
  }
}

/** The longest wait of the leader of a closed connection for the other tabs to close, in milliseconds. */
const HANDOVER_TIMEOUT = 2000

/**
 * One connection for all tabs of the origin: the tab that holds the lock has it, and sends its events to the
 * others.
 *
 * `Tab` decides about messages; this has the lock, the channel and the events of the page.
 */
export class TabConnection implements Link, PageListener {
  readonly #audience = new Audience()
  readonly #tab: Tab<LeaderState>
  #channel: BroadcastChannel | undefined
  /** Withdraws the request for the lock. */
  #waiting: AbortController | undefined
  /** Releases the lock. */
  #release: (() => void) | undefined
  #connection: Connection | undefined
  #relay: Member | undefined
  /** Events of this task, which are sent together. */
  #pending: Item[] = []
  #state: 'open' | 'closing' | 'gone' = 'open'
  /** While it is closing: the sources that asked to open it again. */
  readonly #reopening = new Set<Member>()
  readonly #pausesHidden: boolean
  readonly #unwatch: () => void
  /** The status of its connection, when it leads. */
  #status: Status = { state: 'connecting' }

  constructor(
    readonly core: Core,
    readonly plan: Plan,
    readonly name: string,
  ) {
    this.#pausesHidden = !!plan.settings[Setting.pausesHidden]
    this.#tab = new Tab<LeaderState>(
      `${Date.now()}-${Math.random()}`,
      {
        send: (message) => this.#channel?.postMessage(message),
        deliver: (items) => void this.#audience.deliver(items),
        state: (state, isLate) => this.#onLeaderState(state, isLate),
        lost: () => this.#audience.notifyError(new SourceError('read', lostEvents)),
      },
      plan.lastEventId,
    )
    this.#unwatch = watchPage(this)
    plan.spec.signal?.addEventListener('abort', this.close)
  }

  join(member: Member): void {
    const isFirst = !this.#audience.size
    this.#audience.join(member, this)
    if (!isFirst || this.#state !== 'open') return
    if (this.#pausesHidden && isHidden()) this.#audience.setStatus({ state: 'paused' })
    else this.#enter()
  }

  // For the sources of this tab.

  async leave(member: Member): Promise<void> {
    if (!(await this.#audience.isAbandoned(member))) return
    if (this.#audience.size > 1) this.#audience.leave(member)
    else this.#closeLocally('unsubscribed')
  }

  connect(member: Member): void {
    if (this.#state === 'closing') this.#reopening.add(member)
    else this.#command('connect')
  }

  restart(): void {
    this.#command('restart')
  }

  readonly close = (): void => {
    this.#reopening.clear()
    this.#closeLocally('local')
  }

  // For the page.

  hidden(hidden: boolean): void {
    if (!this.#pausesHidden || this.#state !== 'open') return
    if (!hidden) return this.#enter()
    this.#suspend()
    this.#audience.setStatus({ state: 'paused' })
  }

  // Its connection listens to these itself.
  offline(): void {}

  woken(): void {}

  frozen(): void {
    this.#suspend()
  }

  thawed(): void {
    if (this.#state === 'open' && !(this.#pausesHidden && isHidden())) this.#enter()
  }

  // Among the tabs.

  /** Enters, for the first time or again, and waits for its turn to lead. */
  #enter(): void {
    if (this.#channel) return
    const channel = (this.#channel = new BroadcastChannel(this.name))
    channel.onmessage = ({ data }: MessageEvent<TabMessage<LeaderState> | Command>) => {
      if (data.kind !== 'command') this.#tab.onMessage(data)
      else if (this.#connection) this.#run(data.command)
    }
    this.#tab.enter()
    const waiting = (this.#waiting = new AbortController())
    const hold = async (): Promise<void> => {
      // Messages of the last leader arrive first.
      await macrotask()
      // Too late: it has left.
      if (waiting.signal.aborted) return
      await new Promise<void>((release) => {
        this.#release = release
        this.#lead()
      })
    }
    navigator.locks.request(this.name, { signal: waiting.signal }, hold).catch(() => {})
  }

  #lead(): void {
    this.#tab.lead(Date.now())
    // The options of this tab alone are handled here.
    const settings = this.plan.settings.map((number, at) => (at === Setting.pausesHidden ? 0 : number))
    const spec = { ...this.plan.spec, signal: undefined }
    const { lastEventId } = this.#tab
    const plan = { ...this.plan, spec, settings, lastEventId, onGone: () => {} }
    this.#relay = this.#makeRelay(lastEventId)
    this.#connection = new Connection(this.core, plan)
    this.#connection.join(this.#relay)
  }

  /** The one source of its connection. */
  #makeRelay(lastEventId: string): Member {
    const relay: Member = {
      from: this.plan.spec.url,
      options: {
        onopen: (notice) => this.#notify('open', notice),
        onerror: (notice) => this.#notify('error', notice),
        onclose: (notice) => this.#onClosed(notice),
      },
      lastEventId,
      unanswered: { status: 0, statusText: '' },
      take: (message) => {
        if (!this.#pending.length) queueMicrotask(() => this.#sendEvents())
        this.#pending.push(message)
        return false
      },
      setStatus: (status) => this.#setStatus(relay, status),
      isWanted: () => true,
      isReading: () => false,
      joined() {},
      left() {},
      closedAlone() {},
      reconnect: () => this.#connection?.connect(relay, true),
      reopen() {},
      close() {},
    }
    return relay
  }

  /** Leaves the other tabs, without callbacks of its sources. */
  #suspend(): void {
    this.#sendEvents()
    const connection = this.#connection
    this.#connection = undefined
    this.#relay = undefined
    connection?.close()
    this.#waiting?.abort()
    this.#waiting = undefined
    this.#release?.()
    this.#release = undefined
    this.#channel?.close()
    this.#channel = undefined
  }

  #command(command: Command['command']): void {
    if (this.#connection) this.#run(command)
    else this.#channel?.postMessage({ kind: 'command', command } satisfies Command)
  }

  #run(command: Command['command']): void {
    if (command === 'restart') this.#connection!.restart()
    else this.#connection!.connect(this.#relay as Member)
  }

  // As the leader.

  #setStatus(relay: Member, status: Status): void {
    if (relay !== this.#relay) return
    this.#status = status
    // A close is sent with its notice.
    if (status.state === 'closed') return
    this.#sendEvents()
    this.#audience.setStatus(status)
    this.#tab.announce({ status: plainStatus(status) })
  }

  /** Sends the received events, and an id that came without an event. */
  #sendEvents(): void {
    const items = this.#pending
    this.#pending = []
    const id = this.#relay?.lastEventId
    if (id !== undefined && id !== (items.at(-1)?.id ?? this.#tab.lastEventId)) {
      items.push({ id, event: '', data: '', kind: 'id' })
    }
    this.#tab.received(items)
  }

  #notify(kind: 'open' | 'error', { response, error }: Notice): void {
    if (!this.#connection) return
    this.#sendEvents()
    const status = plainStatus(this.#status, error)
    this.#audience.response = response
    this.#audience.notify(kind, { error })
    this.#tab.announce({ status, callback: kind, response: plainResponse(response) })
  }

  #onClosed({ reason, error, response, connect }: Notice): void {
    if (!this.#connection) return
    this.#sendEvents()
    this.#audience.response = response
    const status = plainStatus(this.#status)
    this.#tab.announce({ status, callback: 'close', response: plainResponse(response) })
    if (this.#closeAudience(this.#status, reason as CloseReason, error)) connect()
    else this.#dispose(failureOf(reason, error))
  }

  // As a follower.

  #onLeaderState({ status: plain, callback, response }: LeaderState, isLate: boolean): void {
    const { error: plainError, ...rest } = plain
    const error = plainError && errorOf(plainError)
    const status = (error ? { ...rest, error } : rest) as Status
    this.#audience.response = responseOf(response)
    if (!callback || isLate) return this.#audience.setStatus(status)
    if (callback === 'close') {
      const isStaying = this.#closeAudience(status, status.reason as CloseReason, error)
      if (!isStaying) return this.#dispose(failureOf(status.reason, error))
      // The leader closes: this tab finds another leader, or becomes the next one.
      this.#suspend()
      return this.#enter()
    }
    this.#audience.notify(callback, { error })
  }

  // The end.

  #closeLocally(reason: 'local' | 'unsubscribed'): void {
    if (this.#state !== 'open') return
    this.#audience.stop()
    const staying = this.#notifyClosed({ state: 'closed', reason }, reason)
    this.#dispose()
    if (staying.length) reopen(staying, this.plan.settings)
  }

  /** Calls the close callbacks of this tab; whether sources stay, because they asked to open it again. */
  #closeAudience(status: Status, reason: CloseReason, error?: SourceErrorLike): boolean {
    const staying = this.#notifyClosed(status, reason, error)
    if (!staying.length) return false
    this.#state = 'open'
    this.#audience.end(failureOf(reason, error), staying)
    return true
  }

  /** Calls the close callbacks; returns the sources that asked to open it again. */
  #notifyClosed(status: Status, reason: CloseReason, error?: SourceErrorLike): Member[] {
    this.#state = 'closing'
    this.#audience.setStatus(status)
    this.#audience.notify('close', { reason, error })
    const staying = [...this.#reopening].filter((member) => member.isWanted())
    this.#reopening.clear()
    return staying
  }

  #dispose(error?: SourceErrorLike): void {
    const isClosedForAll = this.#connection && this.#status.state === 'closed'
    this.#state = 'gone'
    this.#unwatch()
    this.plan.spec.signal?.removeEventListener('abort', this.close)
    this.plan.onGone()
    if (isClosedForAll) void this.#awaitFollowers()
    else this.#suspend()
    this.#audience.end(error)
  }

  /** Keeps the lock until the other tabs have closed: the next leader would open it again. */
  async #awaitFollowers(): Promise<void> {
    this.#connection = this.#relay = undefined
    this.#channel!.onmessage = null
    for (const end = Date.now() + HANDOVER_TIMEOUT; Date.now() < end; ) {
      const { pending = [] } = await navigator.locks.query()
      if (!pending.some(({ name }) => name === this.name)) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    this.#suspend()
  }
}

function plainStatus({ error: own, ...status }: Status, error = own): PlainStatus {
  if (!error) return status
  const { code, message, status: answered, body, retryAfter } = error
  const plain = { code, message, status: answered, body, retryAfter }
  // Without the members that it does not have.
  return { ...status, error: JSON.parse(JSON.stringify(plain)) }
}

function errorOf({ code, message, ...detail }: PlainError): SourceError {
  return new SourceError(code, message, detail)
}

function plainResponse(response: Response | undefined): LeaderState['response'] {
  if (!response) return undefined
  const { status, statusText, headers } = response
  return { status, statusText, headers: [...headers] }
}

/** The head of the leader's answer; its body is the leader's. */
function responseOf(plain: LeaderState['response']): Response | undefined {
  if (!plain) return undefined
  try {
    return new Response(null, plain)
  } catch {
    // Only a network response can have this status.
    return undefined
  }
}

const lostEvents = 'events passed while this tab stood still, and no other tab has them any more'
