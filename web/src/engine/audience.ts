import { SourceError } from '../errors.js'
import type { Link, Member } from '../member.js'
import { callBack, wantsMessages, type NoticeDetail } from '../notice.js'
import type { SourceErrorLike, Status } from '../types.js'
import type { Item } from './session.js'
import { macrotask } from './macrotask.js'

/** The sources that share a connection: delivers events to them, and calls their callbacks. */
export class Audience {
  /** Another list whenever one comes or goes. */
  #members: readonly Member[] = []
  #status: Status = { state: 'connecting' }
  /** Of the answer that stands, if one does. */
  response: Response | undefined
  /** Events that wait while an iterator is full. */
  #waiting: readonly Item[] = []
  #delivering: Promise<void> | undefined
  #isStopped = false

  get size(): number {
    return this.#members.length
  }

  /** The delivery of received events that waits, because an iterator is full. */
  get delivering(): Promise<void> | undefined {
    return this.#delivering
  }

  has(member: Member): boolean {
    return this.#members.includes(member)
  }

  join(member: Member, link: Link): void {
    this.#members = [...this.#members, member]
    member.joined(link)
    member.setStatus(this.#status)
  }

  /**
   * Whether a source has had no subscriber for a turn of the event loop: a component that replaces another
   * one in the same rendering joins before that, and keeps the connection.
   */
  async isAbandoned(member: Member): Promise<boolean> {
    await macrotask()
    return this.has(member) && !member.isWanted()
  }

  /** One of several leaves, and gets its close callbacks. */
  leave(member: Member): void {
    this.#members = this.#members.filter((other) => other !== member)
    member.closedAlone({ state: 'closed', reason: 'unsubscribed' }, this.response)
  }

  setStatus(status: Status): void {
    this.#status = status
    for (const member of this.#members) member.setStatus(status)
  }

  /** Calls the callbacks of all. */
  notify(kind: 'open' | 'error' | 'close', detail?: NoticeDetail): void {
    for (const member of this.#members) callBack(member, kind, { response: this.response, ...detail })
  }

  notifyError(error: SourceErrorLike): void {
    this.notify('error', { error })
  }

  /** The connection has closed, after all callbacks: these stay, because it opens again for them. */
  end(error: SourceErrorLike | undefined, staying: readonly Member[] = []): void {
    const members = this.#members
    this.#members = staying
    this.#isStopped = !staying.length
    if (this.#isStopped) this.#waiting = []
    for (const member of members) if (!staying.includes(member)) member.left(error)
  }

  /** Stops the delivery: received events are dropped. */
  stop(): void {
    this.#isStopped = true
  }

  /** Delivers events to all, in order; a promise if that has to wait for an iterator. */
  deliver(items: readonly Item[]): Promise<void> | undefined {
    if (this.#delivering) {
      this.#waiting = [...this.#waiting, ...items]
      return this.#delivering
    }
    const at = this.#deliverFrom(items, 0)
    if (at === items.length) return undefined
    this.#waiting = items.slice(at)
    return (this.#delivering = this.#deliverSlowly().finally(() => (this.#delivering = undefined)))
  }

  async #deliverSlowly(): Promise<void> {
    while (this.#waiting.length) {
      // While a full iterator is being read, the others wait.
      do await macrotask()
      while (this.#members.some((member) => member.isReading()))
      const items = this.#waiting
      this.#waiting = []
      this.#waiting = [...items.slice(this.#deliverFrom(items, 0)), ...this.#waiting]
    }
  }

  /** Delivers events until an iterator is full; returns the index of the next event. */
  #deliverFrom(items: readonly Item[], at: number): number {
    while (at < items.length) {
      if (this.#isStopped) return items.length
      const item = items[at++] as Item
      if (this.#deliverOne(item) && at < items.length) break
    }
    return at
  }

  #deliverOne(item: Item): boolean {
    if (item.kind && item.kind !== 'id') this.notifyError(new SourceError(item.kind, dropped[item.kind]))
    const members = this.#members
    if (members.length === 1) return this.#deliverTo(members[0] as Member, item)
    let isFull = false
    for (const member of members) {
      // It may have gone meanwhile.
      if (this.#members !== members && !this.#members.includes(member)) continue
      if (this.#deliverTo(member, item)) isFull = true
    }
    return isFull
  }

  #deliverTo(member: Member, item: Item): boolean {
    member.lastEventId = item.id
    if (item.kind) return false
    if (wantsMessages(member)) callBack(member, 'message', { message: item, response: this.response })
    return !this.#isStopped && member.take(item)
  }
}

const dropped = {
  'too-large':
    'an event was larger than `maxEventBytes` and was left out: raise it if such events are expected',
  'incomplete-event':
    'the stream ended in an event without a blank line, which was dropped: `acceptIncompleteEvent` ' +
    'accepts it',
}
