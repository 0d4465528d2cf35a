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
import { turn } from './turn.js'

/** What the leader tells besides events: where the connection stands, and which callbacks are to be called. */
interface Said {
  status: SaidStatus
  tell?: 'open' | 'error' | 'close' | undefined
  response?: { status: number; statusText: string; headers: [string, string][] } | undefined
}

type SaidStatus = { [Name in 'state' | 'until' | 'reason' | 'retries']?: Status[Name] } & { error?: SaidError }
type SaidError = { code: SourceErrorCode; message: string; status?: number; body?: string; retryAfter?: number }

/** An order to the leader: its connection is everyone's. */
type Order = { kind: 'order'; order: 'connect' | 'restart' }

/** Whether tabs can share here: a browser may have no channels or no locks, or refuse them to a page without storage. */
export async function canShareTabs(): Promise<boolean> {
  try {
    new BroadcastChannel('').close()
    await navigator.locks.query()
    return true
  } catch {
    return false
  }
}

/** How long the leader of a connection that is closed waits for the others to go, in milliseconds. */
const PARTING = 2000

/**
 * One connection for all tabs of the origin: the tab that holds the lock has it, and says what it brings.
 *
 * `Tab` decides what is said and what is heard; here are the lock, the channel and the page.
 */
export class TabConnection implements Link, PageListener {
  readonly #audience = new Audience()
  readonly #tab: Tab<Said>
  #channel: BroadcastChannel | undefined
  /** Takes the request for the lock back. */
  #waiting: AbortController | undefined
  /** Gives the lock back. */
  #release: (() => void) | undefined
  #connection: Connection | undefined
  #relay: Member | undefined
  /** Events of this moment, which are said together. */
  #came: Item[] = []
  #state: 'open' | 'closing' | 'gone' = 'open'
  /** While it is closing: the sources that asked to open it again. */
  readonly #again = new Set<Member>()
  readonly #pausesHidden: boolean
  readonly #unwatch: () => void
  /** When it leads: of its connection. */
  #status: Status = { state: 'connecting' }

  constructor(
    readonly core: Core,
    readonly plan: Plan,
    readonly name: string,
  ) {
    this.#pausesHidden = !!plan.settings[Setting.pausesHidden]
    this.#tab = new Tab<Said>(
      `${Date.now()}-${Math.random()}`,
      {
        send: (message) => this.#channel?.postMessage(message),
        deliver: (items) => void this.#audience.deliver(items),
        said: (said, isLate) => this.#hear(said, isLate),
        lost: () => this.#audience.tellError(new SourceError('read', passed)),
      },
      plan.lastEventId,
    )
    this.#unwatch = watchPage(this)
    plan.asked.signal?.addEventListener('abort', this.close)
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
    if (!(await this.#audience.hasLost(member))) return
    if (this.#audience.size > 1) this.#audience.leave(member)
    else this.#goLocally('unsubscribed')
  }

  connect(member: Member): void {
    if (this.#state === 'closing') this.#again.add(member)
    else this.#order('connect')
  }

  restart(): void {
    this.#order('restart')
  }

  readonly close = (): void => {
    this.#again.clear()
    this.#goLocally('local')
  }

  // For the page.

  hidden(hidden: boolean): void {
    if (!this.#pausesHidden || this.#state !== 'open') return
    if (!hidden) return this.#enter()
    this.#suspend()
    this.#audience.setStatus({ state: 'paused' })
  }

  // Its connection listens, too.
  offline(): void {}

  woken(): void {}

  frozen(): void {
    this.#suspend()
  }

  thawed(): void {
    if (this.#state === 'open' && !(this.#pausesHidden && isHidden())) this.#enter()
  }

  // Among the tabs.

  /** Comes, or comes back, and waits for its turn to lead. */
  #enter(): void {
    if (this.#channel) return
    const channel = (this.#channel = new BroadcastChannel(this.name))
    channel.onmessage = ({ data }: MessageEvent<TabMessage<Said> | Order>) => {
      if (data.kind !== 'order') this.#tab.hear(data)
      else if (this.#connection) this.#obey(data.order)
    }
    this.#tab.enter()
    const waiting = (this.#waiting = new AbortController())
    const hold = async (): Promise<void> => {
      // What the last leader has said is heard first.
      await turn()
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
    // What is of this tab alone is done here.
    const settings = this.plan.settings.map((number, at) => (at === Setting.pausesHidden ? 0 : number))
    const asked = { ...this.plan.asked, signal: undefined }
    const { lastEventId } = this.#tab
    const plan = { ...this.plan, asked, settings, lastEventId, onGone: () => {} }
    this.#relay = this.#makeRelay(lastEventId)
    this.#connection = new Connection(this.core, plan)
    this.#connection.join(this.#relay)
  }

  /** The one source of its connection. */
  #makeRelay(lastEventId: string): Member {
    const relay: Member = {
      from: this.plan.asked.url,
      options: {
        onopen: (notice) => this.#tell('open', notice),
        onerror: (notice) => this.#tell('error', notice),
        onclose: (notice) => this.#closed(notice),
      },
      lastEventId,
      unanswered: { status: 0, statusText: '' },
      take: (message) => {
        if (!this.#came.length) queueMicrotask(() => this.#say())
        this.#came.push(message)
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

  /** Leaves the others to themselves, without a word to its sources. */
  #suspend(): void {
    this.#say()
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

  #order(order: Order['order']): void {
    if (this.#connection) this.#obey(order)
    else this.#channel?.postMessage({ kind: 'order', order } satisfies Order)
  }

  #obey(order: Order['order']): void {
    if (order === 'restart') this.#connection!.restart()
    else this.#connection!.connect(this.#relay as Member)
  }

  // As the leader.

  #setStatus(relay: Member, status: Status): void {
    if (relay !== this.#relay) return
    this.#status = status
    // A close is told with its notice.
    if (status.state === 'closed') return
    this.#say()
    this.#audience.setStatus(status)
    this.#tab.tell({ status: saidStatus(status) })
  }

  /** Says the events that have come, and an id that came without one. */
  #say(): void {
    const items = this.#came
    this.#came = []
    const id = this.#relay?.lastEventId
    if (id !== undefined && id !== (items.at(-1)?.id ?? this.#tab.lastEventId)) {
      items.push({ id, event: '', data: '', kind: 'id' })
    }
    this.#tab.came(items)
  }

  #tell(kind: 'open' | 'error', { response, error }: Notice): void {
    if (!this.#connection) return
    this.#say()
    const status = saidStatus(this.#status, error)
    this.#audience.response = response
    this.#audience.tell(kind, { error })
    this.#tab.tell({ status, tell: kind, response: saidResponse(response) })
  }

  #closed({ reason, error, response, connect }: Notice): void {
    if (!this.#connection) return
    this.#say()
    this.#audience.response = response
    this.#tab.tell({ status: saidStatus(this.#status), tell: 'close', response: saidResponse(response) })
    if (this.#closeAudience(this.#status, reason as CloseReason, error)) connect()
    else this.#go(failureOf(reason, error))
  }

  // As one who follows.

  #hear({ status: said, tell, response }: Said, isLate: boolean): void {
    const { error: saidError, ...rest } = said
    const error = saidError && errorOf(saidError)
    const status = (error ? { ...rest, error } : rest) as Status
    this.#audience.response = responseOf(response)
    if (!tell || isLate) return this.#audience.setStatus(status)
    if (tell === 'close') {
      const isStaying = this.#closeAudience(status, status.reason as CloseReason, error)
      if (!isStaying) return this.#go(failureOf(status.reason, error))
      // The leader closes: this tab finds another leader, or is the next.
      this.#suspend()
      return this.#enter()
    }
    this.#audience.tell(tell, { error })
  }

  // The end.

  #goLocally(reason: 'local' | 'unsubscribed'): void {
    if (this.#state !== 'open') return
    this.#audience.stop()
    const staying = this.#tellClosed({ state: 'closed', reason }, reason)
    this.#go()
    if (staying.length) reopen(staying, this.plan.settings)
  }

  /** Tells the sources of this tab that the connection has closed; whether some of them stay, because they asked to open it again. */
  #closeAudience(status: Status, reason: CloseReason, error?: SourceErrorLike): boolean {
    const staying = this.#tellClosed(status, reason, error)
    if (!staying.length) return false
    this.#state = 'open'
    this.#audience.end(failureOf(reason, error), staying)
    return true
  }

  /** Gives those that asked to open it again. */
  #tellClosed(status: Status, reason: CloseReason, error?: SourceErrorLike): Member[] {
    this.#state = 'closing'
    this.#audience.setStatus(status)
    this.#audience.tell('close', { reason, error })
    const staying = [...this.#again].filter((member) => member.isWanted())
    this.#again.clear()
    return staying
  }

  #go(error?: SourceErrorLike): void {
    const isClosedForAll = this.#connection && this.#status.state === 'closed'
    this.#state = 'gone'
    this.#unwatch()
    this.plan.asked.signal?.removeEventListener('abort', this.close)
    this.plan.onGone()
    if (isClosedForAll) void this.#part()
    else this.#suspend()
    this.#audience.end(error)
  }

  /** Keeps the lock until the others have heard that it is over: the next of them would open it again. */
  async #part(): Promise<void> {
    this.#connection = this.#relay = undefined
    this.#channel!.onmessage = null
    for (const end = Date.now() + PARTING; Date.now() < end; ) {
      const { pending = [] } = await navigator.locks.query()
      if (!pending.some(({ name }) => name === this.name)) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    this.#suspend()
  }
}

function saidStatus({ error: own, ...status }: Status, error: SourceErrorLike | undefined = own): SaidStatus {
  if (!error) return status
  const { code, message, status: answered, body, retryAfter } = error
  // Without the members that it does not have.
  return { ...status, error: JSON.parse(JSON.stringify({ code, message, status: answered, body, retryAfter })) }
}

function errorOf({ code, message, ...detail }: SaidError): SourceError {
  return new SourceError(code, message, detail)
}

function saidResponse(response: Response | undefined): Said['response'] {
  if (!response) return undefined
  const { status, statusText, headers } = response
  return { status, statusText, headers: [...headers] }
}

/** The head of the leader's answer; its body is the leader's. */
function responseOf(said: Said['response']): Response | undefined {
  if (!said) return undefined
  try {
    return new Response(null, said)
  } catch {
    // A status that only a network can give.
    return undefined
  }
}

const passed = 'events passed while this tab stood still, and no other tab has them any more'
