import type { Item } from './session.js'

/** A place in the stream as a leader has counted it. */
export interface Place {
  term: number
  n: number
}

/** What tabs say to each other. `S` is what they say besides events; the latest is told to those who come. */
export type TabMessage<S> =
  /** A tab has come, or is behind: what comes after this place? */
  | { kind: 'ask'; tab: string; since?: Place; id: string }
  /**
   * To one tab: the events that it has not got, and where that is; `gone` if some are not kept any more. To one that has
   * just come: the last that passed, which it keeps for others.
   */
  | { kind: 'answer'; to: string; place: Place; id: string; items: Kept[]; gone: boolean; said?: S | undefined }
  /** A tab leads from now on, from this place, which the last leader has counted as `after`. */
  | { kind: 'lead'; place: Place; after?: Place | undefined; id: string }
  /** Events, the first of which has this place. */
  | { kind: 'items'; place: Place; items: Item[] }
  | { kind: 'said'; term: number; said: S }

/** What a tab does. */
export interface TabEffects<S> {
  send(message: TabMessage<S>): void
  /** Gives events to the sources of this tab. */
  deliver(items: Item[]): void
  /** What the leader tells; `isLate` if it was told before this tab came. */
  said(said: S, isLate: boolean): void
  /** Events passed that nobody has any more. */
  lost(): void
}

/** How many events a tab keeps for others. */
const KEPT = 1024
/** And how many characters of data. */
const KEPT_CHARACTERS = 1 << 22

/** How many events that passed a tab is given when it comes. */
const PASSED = 64

/** An event and its place. */
export interface Kept extends Place {
  item: Item
}

/**
 * What one of the tabs that share a connection decides. One leads: it has the connection, and counts events in terms that
 * begin with it. The others follow.
 *
 * When the leader goes, the next one resumes after the last event that it has itself. Others may have got more, or less:
 * who is ahead leaves out what the server repeats, and who is behind asks the leader for what it has not got. Messages of
 * one tab arrive in order, or not at all.
 */
export class Tab<S = unknown> {
  /** The last event that came. */
  #place: Place | undefined
  #lastId: string
  #leads = false
  /** It has asked, and does not know yet where the others are: what comes until then is in the answer. */
  #asking = false
  #kept: Kept[] = []
  #keptCharacters = 0
  /**
   * Events that this tab got from an earlier leader, and the new one has not: it may send them again. `undefined` for those
   * that passed before this tab came.
   */
  #ahead: (Item | undefined)[] = []
  /** Events in the place of those that passed: whether they are these, the next one shows. */
  #held: Item[] = []
  #said: S | undefined

  constructor(
    readonly name: string,
    readonly effects: TabEffects<S>,
    lastEventId = '',
  ) {
    this.#lastId = lastEventId
  }

  /** Where its connection is to resume, if it leads. */
  get lastEventId(): string {
    return this.#lastId
  }

  /** It comes, or comes back. */
  enter(): void {
    this.#leads = false
    this.#ask()
  }

  /** It has become the leader. `now` in milliseconds since any moment that tabs agree on. */
  lead(now: number): void {
    const after = this.#place
    this.#leads = true
    this.#asking = false
    this.#place = { term: Math.max(now, (after?.term ?? 0) + 1), n: after?.n ?? 0 }
    this.effects.send({ kind: 'lead', place: this.#place, after, id: this.#lastId })
  }

  /** The leader's connection has brought events. */
  came(items: Item[]): void {
    if (!this.#leads || !this.#place || !items.length) return
    this.effects.send({ kind: 'items', place: { ...this.#place, n: this.#place.n + 1 }, items })
    this.#take(items)
  }

  /** The leader tells something else than events. */
  tell(said: S): void {
    if (!this.#leads || !this.#place) return
    this.#said = said
    this.effects.send({ kind: 'said', term: this.#place.term, said })
  }

  hear(message: TabMessage<S>): void {
    switch (message.kind) {
      case 'ask':
        if (this.#leads) this.#answer(message)
        return
      case 'answer':
        if (message.to === this.name && this.#asking) this.#answered(message)
        return
      case 'lead':
        if (!this.#leads) this.#led(message)
        return
      case 'items':
        if (!this.#leads) this.#follow(message)
        return
      case 'said':
        if (!this.#leads && this.#place?.term === message.term && !this.#asking) this.effects.said(message.said, false)
    }
  }

  #ask(): void {
    this.#asking = true
    const since = this.#place
    this.effects.send({ kind: 'ask', tab: this.name, ...(since && { since }), id: this.#lastId })
  }

  #answer({ tab, since, id }: TabMessage<S> & { kind: 'ask' }): void {
    const place = this.#place as Place
    const at = since ? this.#find(since, id) : Math.max(0, this.#kept.length - PASSED)
    const items = at === undefined ? [] : this.#kept.slice(at)
    const gone = at === undefined
    this.effects.send({ kind: 'answer', to: tab, place, id: this.#lastId, items, gone, said: this.#said })
  }

  /** Where in what is kept the events after this place begin. */
  #find({ term, n }: Place, id: string): number | undefined {
    const last = this.#place as Place
    if (term === last.term && n === last.n) return this.#kept.length
    const next = this.#kept.findIndex((kept) => kept.term === term && kept.n === n + 1)
    if (next >= 0) return next
    let at = this.#kept.findIndex((kept) => kept.term === term && kept.n === n)
    // In another term it may have counted otherwise: the id is the same.
    if (at < 0 && id) at = this.#kept.map(({ item }) => item.id).lastIndexOf(id)
    return at < 0 ? undefined : at + 1
  }

  #answered({ place, id, items, gone, said }: TabMessage<S> & { kind: 'answer' }): void {
    this.#asking = false
    const isNew = !this.#place
    const fresh: Item[] = []
    for (const kept of items) {
      if (!isNew) fresh.push(...this.#fresh(kept.item))
      this.#keep(kept)
    }
    this.#place = place
    if (isNew || items.length) this.#lastId = id
    // Not kept there: because it has passed, or because the leader is behind.
    if (gone && !this.#isBehind(id)) {
      fresh.push(...this.#held)
      this.#held = this.#ahead = []
      this.effects.lost()
    }
    if (fresh.length) this.effects.deliver(fresh)
    if (said !== undefined) this.effects.said(said, true)
  }

  #led({ place, after, id }: TabMessage<S> & { kind: 'lead' }): void {
    const mine = this.#place
    if (mine && mine.term > place.term) return
    if (!mine) {
      // It came when there was no leader: what there is begins here.
      this.#asking = false
      return this.#adopt(place, id)
    }
    if (after?.term !== mine.term || this.#asking) {
      if (!this.#isBehind(id)) return this.#ask()
      this.#asking = false
      return this.#adopt(place, id)
    }
    if (after.n > mine.n) return this.#ask()
    const got = this.#kept.filter(({ term, n }) => term === after.term && n > after.n)
    const [first] = got
    if (first) {
      const passed = new Array<undefined>(first.n - after.n - 1).fill(undefined)
      this.#ahead = [...passed, ...got.map(({ item }) => item), ...this.#ahead]
    }
    this.#adopt(place, id)
  }

  /** Counts as the leader does. What this tab is ahead, it does not count yet: were it to lead, it would begin there too. */
  #adopt(place: Place, id: string): void {
    this.#place = place
    this.#lastId = id
  }

  /** Whether a leader whose last event has this id is behind this tab; what it will repeat is then known. */
  #isBehind(id: string): boolean {
    const at = id ? this.#kept.map(({ item }) => item.id).lastIndexOf(id) : -1
    if (at < 0) return false
    this.#ahead = this.#kept.slice(at + 1).map(({ item }) => item)
    return true
  }

  #follow({ place, items }: TabMessage<S> & { kind: 'items' }): void {
    if (this.#asking) return
    const mine = this.#place
    if (mine && place.term < mine.term) return
    if (!mine || place.term > mine.term || place.n > mine.n + 1) return this.#ask()
    const known = mine.n + 1 - place.n
    this.#take(items.slice(known))
  }

  /** Counts the next events, and delivers those that this tab has not got. */
  #take(items: Item[]): void {
    const fresh: Item[] = []
    for (const item of items) {
      fresh.push(...this.#fresh(item))
      this.#step(item)
    }
    if (fresh.length) this.effects.deliver(fresh)
  }

  /** Which events this one shows to be new: none, if this tab has got it from an earlier leader. */
  #fresh(item: Item): Item[] {
    if (!this.#ahead.length) return [item]
    const first = this.#ahead.shift()
    if (!first) {
      this.#held.push(item)
      return []
    }
    const held = this.#held
    this.#held = []
    if (first.id && first.id === item.id && first.event === item.event && first.data === item.data) return []
    // The server does not repeat: what comes is new.
    this.#ahead = []
    return [...held, item]
  }

  /** Counts an event. */
  #step(item: Item): void {
    const { term, n } = this.#place as Place
    this.#place = { term, n: n + 1 }
    this.#lastId = item.id
    this.#keep({ ...this.#place, item })
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
