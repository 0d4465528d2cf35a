import type { Item } from './session.js'

/** A position in the stream as a leader has counted it. */
export interface Position {
  term: number
  n: number
}

/** The messages between tabs. The latest `State` of a leader is sent to new tabs. */
export type TabMessage<State> =
  /** A new tab, or one that is behind, asks for the events after this position. */
  | { kind: 'ask'; tab: string; since?: Position; id: string }
  /**
   * To one tab: the events that it lacks, and the position after them; `gone` if some are not kept any more.
   * To a new tab: the latest events, which it keeps for others.
   */
  | {
      kind: 'answer'
      to: string
      position: Position
      id: string
      items: Kept[]
      gone: boolean
      state?: State | undefined
    }
  /** A tab leads from now on, from this position, which the last leader has counted as `after`. */
  | { kind: 'lead'; position: Position; after?: Position | undefined; id: string }
  /** Events, the first of which has this position. */
  | { kind: 'items'; position: Position; items: Item[] }
  | { kind: 'state'; term: number; state: State }

/** The effects of a tab. */
export interface TabEffects<State> {
  send(message: TabMessage<State>): void
  /** Gives events to the sources of this tab. */
  deliver(items: Item[]): void
  /** The leader's state; `isLate` if it was sent before this tab was there. */
  state(state: State, isLate: boolean): void
  /** Events are lost: no tab has them any more. */
  lost(): void
}

/** The number of events that a tab keeps for others. */
const KEPT = 1024
/** The number of characters of data that it keeps. */
const KEPT_CHARACTERS = 1 << 22

/** The number of earlier events that a new tab gets, to keep. */
const PASSED = 64

/** An event and its position. */
export interface Kept extends Position {
  item: Item
}

/**
 * The decisions of one of the tabs that share a connection. One leads: it has the connection, and counts
 * events in terms that begin with it. The others follow.
 *
 * When the leader goes, the next one resumes after its own last event. Others may have more events, or fewer:
 * a tab that is ahead skips the events that the server repeats, and a tab that is behind asks the leader for
 * the events that it lacks. Messages of one tab arrive in order, or not at all.
 */
export class Tab<State = unknown> {
  /** The last event that came. */
  #position: Position | undefined
  #lastId: string
  #leads = false
  /** It waits for an answer, which will contain the events that arrive until then. */
  #asking = false
  #kept: Kept[] = []
  #keptCharacters = 0
  /**
   * Events of an earlier leader that the new one lacks: it may send them again. `undefined` for those before
   * this tab was there.
   */
  #ahead: (Item | undefined)[] = []
  /** Events that may be those of before this tab was there; the next one shows it. */
  #held: Item[] = []
  #state: State | undefined

  constructor(
    readonly name: string,
    readonly effects: TabEffects<State>,
    lastEventId = '',
  ) {
    this.#lastId = lastEventId
  }

  /** The id after which its connection resumes, if it leads. */
  get lastEventId(): string {
    return this.#lastId
  }

  /** Enters for the first time, or again. */
  enter(): void {
    this.#leads = false
    this.#ask()
  }

  /** Becomes the leader. `now` in milliseconds since any time that tabs agree on. */
  lead(now: number): void {
    const after = this.#position
    this.#leads = true
    this.#asking = false
    this.#position = { term: Math.max(now, (after?.term ?? 0) + 1), n: after?.n ?? 0 }
    this.effects.send({ kind: 'lead', position: this.#position, after, id: this.#lastId })
  }

  /** The leader's connection has received events. */
  received(items: Item[]): void {
    if (!this.#leads || !this.#position || !items.length) return
    this.effects.send({ kind: 'items', position: { ...this.#position, n: this.#position.n + 1 }, items })
    this.#take(items)
  }

  /** Sends the leader's state to the others. */
  announce(state: State): void {
    if (!this.#leads || !this.#position) return
    this.#state = state
    this.effects.send({ kind: 'state', term: this.#position.term, state })
  }

  onMessage(message: TabMessage<State>): void {
    switch (message.kind) {
      case 'ask':
        if (this.#leads) this.#answer(message)
        return
      case 'answer':
        if (message.to === this.name && this.#asking) this.#onAnswer(message)
        return
      case 'lead':
        if (!this.#leads) this.#onLead(message)
        return
      case 'items':
        if (!this.#leads) this.#follow(message)
        return
      case 'state':
        if (this.#leads || this.#asking || this.#position?.term !== message.term) return
        this.effects.state(message.state, false)
    }
  }

  #ask(): void {
    this.#asking = true
    const since = this.#position
    this.effects.send({ kind: 'ask', tab: this.name, ...(since && { since }), id: this.#lastId })
  }

  #answer({ tab, since, id }: TabMessage<State> & { kind: 'ask' }): void {
    const position = this.#position as Position
    const at = since ? this.#find(since, id) : Math.max(0, this.#kept.length - PASSED)
    const items = at === undefined ? [] : this.#kept.slice(at)
    const gone = at === undefined
    const answer = { to: tab, position, id: this.#lastId, items, gone, state: this.#state }
    this.effects.send({ kind: 'answer', ...answer })
  }

  /** The index of the first kept event after this position. */
  #find({ term, n }: Position, id: string): number | undefined {
    const last = this.#position as Position
    if (term === last.term && n === last.n) return this.#kept.length
    const next = this.#kept.findIndex((kept) => kept.term === term && kept.n === n + 1)
    if (next >= 0) return next
    let at = this.#kept.findIndex((kept) => kept.term === term && kept.n === n)
    // Another term may have another count: the id is the same.
    if (at < 0 && id) at = this.#kept.map(({ item }) => item.id).lastIndexOf(id)
    return at < 0 ? undefined : at + 1
  }

  #onAnswer({ position, id, items, gone, state }: TabMessage<State> & { kind: 'answer' }): void {
    this.#asking = false
    const isNew = !this.#position
    const fresh: Item[] = []
    for (const kept of items) {
      if (!isNew) fresh.push(...this.#newEvents(kept.item))
      this.#keep(kept)
    }
    this.#position = position
    if (isNew || items.length) this.#lastId = id
    // Not kept there: it is too old, or the leader is behind.
    if (gone && !this.#isBehind(id)) {
      fresh.push(...this.#held)
      this.#held = this.#ahead = []
      this.effects.lost()
    }
    if (fresh.length) this.effects.deliver(fresh)
    if (state !== undefined) this.effects.state(state, true)
  }

  #onLead({ position, after, id }: TabMessage<State> & { kind: 'lead' }): void {
    const mine = this.#position
    if (mine && mine.term > position.term) return
    if (!mine) {
      // There was no leader before: its events begin here.
      this.#asking = false
      return this.#adopt(position, id)
    }
    if (after?.term !== mine.term || this.#asking) {
      if (!this.#isBehind(id)) return this.#ask()
      this.#asking = false
      return this.#adopt(position, id)
    }
    if (after.n > mine.n) return this.#ask()
    const got = this.#kept.filter(({ term, n }) => term === after.term && n > after.n)
    const [first] = got
    if (first) {
      const passed = new Array<undefined>(first.n - after.n - 1).fill(undefined)
      this.#ahead = [...passed, ...got.map(({ item }) => item), ...this.#ahead]
    }
    this.#adopt(position, id)
  }

  /**
   * Takes over the leader's count. Events ahead of it are not counted: as a leader, this tab would begin
   * there too.
   */
  #adopt(position: Position, id: string): void {
    this.#position = position
    this.#lastId = id
  }

  /** Whether a leader whose last event has this id is behind this tab; its repeated events are then known. */
  #isBehind(id: string): boolean {
    const at = id ? this.#kept.map(({ item }) => item.id).lastIndexOf(id) : -1
    if (at < 0) return false
    this.#ahead = this.#kept.slice(at + 1).map(({ item }) => item)
    return true
  }

  #follow({ position, items }: TabMessage<State> & { kind: 'items' }): void {
    if (this.#asking) return
    const mine = this.#position
    if (mine && position.term < mine.term) return
    if (!mine || position.term > mine.term || position.n > mine.n + 1) return this.#ask()
    const known = mine.n + 1 - position.n
    this.#take(items.slice(known))
  }

  /** Counts the next events, and delivers those that this tab lacks. */
  #take(items: Item[]): void {
    const fresh: Item[] = []
    for (const item of items) {
      fresh.push(...this.#newEvents(item))
      this.#advance(item)
    }
    if (fresh.length) this.effects.deliver(fresh)
  }

  /** The events that this one proves to be new: none, if an earlier leader has sent it. */
  #newEvents(item: Item): Item[] {
    if (!this.#ahead.length) return [item]
    const first = this.#ahead.shift()
    if (!first) {
      this.#held.push(item)
      return []
    }
    const held = this.#held
    this.#held = []
    if (first.id && first.id === item.id && first.event === item.event && first.data === item.data) return []
    // The server does not repeat: its events are new.
    this.#ahead = []
    return [...held, item]
  }

  /** Counts an event. */
  #advance(item: Item): void {
    const { term, n } = this.#position as Position
    this.#position = { term, n: n + 1 }
    this.#lastId = item.id
    this.#keep({ ...this.#position, item })
  }

  /** Keeps an event for others. */
  #keep(kept: Kept): void {
    this.#kept.push(kept)
    this.#keptCharacters += kept.item.data.length
    while (this.#kept.length > KEPT || this.#keptCharacters > KEPT_CHARACTERS) {
      this.#keptCharacters -= (this.#kept.shift() as Kept).item.data.length
    }
  }
}
