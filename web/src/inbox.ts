import { LaggedError } from './errors.js'
import type { Message } from './types.js'

/** The result of a map that has no value for an event: iterators and stores skip it. */
export const SKIP = Symbol()

export type Mapping<T> = (message: Message) => T | typeof SKIP

/** A subscriber of a source. */
export interface Sink {
  /** The events of this name; all without. */
  event?: string | undefined
  /** Gives it an event; true when it cannot take another one. */
  take(message: Message): boolean | void
  /** The connection is gone, by this error if it failed. */
  end?(error?: unknown): void
  /** Whether it is full, and has been read since this was last asked. */
  isReading?(): boolean
}

let registry: FinalizationRegistry<() => void> | undefined

/** Calls `run`, which must not refer to the object, after its collection; never without finalization. */
export function onCollected(object: object, run: () => void): void {
  if (typeof FinalizationRegistry === 'function') registry ??= new FinalizationRegistry((run) => run())
  registry?.register(object, run)
}

/**
 * An async iterator over events, with a bounded buffer.
 *
 * @param listen adds the sink to the source; returns a function that removes it
 * @param limit how many events may wait
 * @param map makes the value of each event, or skips it
 */
export function iterate<T>(
  listen: (sink: Sink) => () => void,
  event: string | undefined,
  limit: number,
  map: Mapping<T>,
): AsyncIterableIterator<T> {
  const inbox = new Inbox(limit, map)
  inbox.event = event
  const leave = listen(inbox)
  const iterator: AsyncIterableIterator<T> = {
    next: () => inbox.next(iterator),
    return: async () => {
      leave()
      inbox.drop()
      return { value: undefined, done: true }
    },
    [Symbol.asyncIterator]: () => iterator,
  }
  // A loop that ended by an error does not call `return`.
  onCollected(iterator, leave)
  return iterator
}

/** The functions of a promise, and its iterator, which is not collected while somebody waits for it. */
type Waiter<T> = [
  resolve: (result: IteratorResult<T>) => void,
  reject: (error: unknown) => void,
  iterator: object,
]

class Inbox<T> implements Sink {
  event: string | undefined
  #messages: Message[] = []
  /** Where the first unread one is. */
  #at = 0
  #lost = 0
  #waiters: Waiter<T>[] = []
  #ended = false
  #error: unknown
  #read = false

  constructor(
    readonly limit: number,
    readonly map: Mapping<T>,
  ) {}

  take(message: Message): boolean {
    if (this.#waiters.length) {
      if (this.#give(message, this.#waiters[0] as Waiter<T>)) this.#waiters.shift()
      return false
    }
    this.#messages.push(message)
    if (this.#unread() < this.limit) return false
    if (this.#unread() > this.limit) {
      this.#shift()
      this.#lost++
    }
    return true
  }

  isReading(): boolean {
    const read = this.#read
    this.#read = false
    return read && this.#unread() >= this.limit
  }

  end(error?: unknown): void {
    this.#ended = true
    this.#error = error
    for (const waiter of this.#waiters.splice(0)) this.#wait(waiter)
  }

  drop(): void {
    this.#messages = []
    this.#at = this.#lost = 0
    this.end()
  }

  next(iterator: object): Promise<IteratorResult<T>> {
    this.#read = true
    // Most events pass here when many come at once.
    while (!this.#lost && this.#unread()) {
      try {
        const value = this.map(this.#shift())
        if (value !== SKIP) return Promise.resolve({ value, done: false })
      } catch (error) {
        return Promise.reject(error)
      }
    }
    return new Promise((...functions) => this.#wait([...functions, iterator]))
  }

  #wait(waiter: Waiter<T>): void {
    const [resolve, reject] = waiter
    if (this.#lost) {
      reject(new LaggedError(this.#lost))
      this.#lost = 0
    } else if (!this.#ended) {
      this.#waiters.push(waiter)
    } else if (this.#error) {
      reject(this.#error)
      // It is thrown once.
      this.#error = undefined
    } else {
      resolve({ value: undefined, done: true })
    }
  }

  /** Whether the waiter has got a value or an error. */
  #give(message: Message, [resolve, reject]: Waiter<T>): boolean {
    try {
      const value = this.map(message)
      if (value === SKIP) return false
      resolve({ value, done: false })
    } catch (error) {
      reject(error)
    }
    return true
  }

  #unread(): number {
    return this.#messages.length - this.#at
  }

  #shift(): Message {
    const message = this.#messages[this.#at++] as Message
    if (this.#at === this.#messages.length) {
      this.#messages = []
      this.#at = 0
    } else if (this.#at > this.limit) {
      this.#messages = this.#messages.slice(this.#at)
      this.#at = 0
    }
    return message
  }
}
