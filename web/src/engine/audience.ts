import { SourceError } from '../errors.js'
import type { Link, Member } from '../member.js'
import { hearsMessages, tell, type Told } from '../notice.js'
import type { SourceErrorLike, Status } from '../types.js'
import type { Item } from './session.js'
import { turn } from './turn.js'

/** The sources that share a connection: what each of them is given and told. */
export class Audience {
  /** Another list whenever one comes or goes. */
  #members: readonly Member[] = []
  #status: Status = { state: 'connecting' }
  /** Of the answer that stands, if one does. */
  response: Response | undefined
  /** What waits while an iterator is full. */
  #waiting: readonly Item[] = []
  #delivering: Promise<void> | undefined
  #gone = false

  get size(): number {
    return this.#members.length
  }

  /** Events came that are not delivered yet, because an iterator is full. */
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
   * Whether nobody has listened to a source for a turn of the event loop: a component that replaces another one in the same
   * rendering joins before that, and keeps the connection.
   */
  async hasLost(member: Member): Promise<boolean> {
    await turn()
    return this.has(member) && !member.isWanted()
  }

  /** One of several leaves, and is told. */
  leave(member: Member): void {
    this.#members = this.#members.filter((other) => other !== member)
    member.closedAlone({ state: 'closed', reason: 'unsubscribed' }, this.response)
  }

  setStatus(status: Status): void {
    this.#status = status
    for (const member of this.#members) member.setStatus(status)
  }

  /** Calls the callbacks of all. */
  tell(kind: 'open' | 'error' | 'close', told?: Told): void {
    for (const member of this.#members) tell(member, kind, { response: this.response, ...told })
  }

  tellError(error: SourceErrorLike): void {
    this.tell('error', { error })
  }

  /** The connection has closed, and all have been told: these stay, because it opens again for them. */
  end(error: SourceErrorLike | undefined, staying: readonly Member[] = []): void {
    const members = this.#members
    this.#members = staying
    this.#gone = !staying.length
    if (this.#gone) this.#waiting = []
    for (const member of members) if (!staying.includes(member)) member.left(error)
  }

  /** Nothing that has come is delivered any more. */
  stop(): void {
    this.#gone = true
  }

  /** Gives events to all, in order; a promise if that has to wait for an iterator. */
  deliver(items: readonly Item[]): Promise<void> | undefined {
    if (this.#delivering) {
      this.#waiting = [...this.#waiting, ...items]
      return this.#delivering
    }
    const at = this.#give(items, 0)
    if (at === items.length) return undefined
    this.#waiting = items.slice(at)
    return (this.#delivering = this.#deliverSlowly().finally(() => (this.#delivering = undefined)))
  }

  async #deliverSlowly(): Promise<void> {
    while (this.#waiting.length) {
      // As long as who is full reads on, the others wait.
      do await turn()
      while (this.#members.some((member) => member.isReading()))
      const items = this.#waiting
      this.#waiting = []
      this.#waiting = [...items.slice(this.#give(items, 0)), ...this.#waiting]
    }
  }

  /** Gives events up to one after which an iterator is full; gives which comes next. */
  #give(items: readonly Item[], at: number): number {
    while (at < items.length) {
      if (this.#gone) return items.length
      const item = items[at++] as Item
      if (this.#giveOne(item) && at < items.length) break
    }
    return at
  }

  #giveOne(item: Item): boolean {
    if (item.kind && item.kind !== 'id') this.tellError(new SourceError(item.kind, dropped[item.kind]))
    const members = this.#members
    if (members.length === 1) return this.#giveTo(members[0] as Member, item)
    let isFull = false
    for (const member of members) {
      // It may have gone meanwhile.
      if (this.#members !== members && !this.#members.includes(member)) continue
      if (this.#giveTo(member, item)) isFull = true
    }
    return isFull
  }

  #giveTo(member: Member, item: Item): boolean {
    member.lastEventId = item.id
    if (item.kind) return false
    if (hearsMessages(member)) tell(member, 'message', { message: item, response: this.response })
    return !this.#gone && member.take(item)
  }
}

const dropped = {
  'too-large': 'an event was larger than `maxEventBytes` and was left out: raise it if such events are expected',
  'incomplete-event': 'the stream ended in an event without a blank line, which was dropped: `acceptIncompleteEvent` accepts it',
}
