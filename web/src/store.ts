import type { Readable } from './types.js'

interface Subscriber<T> {
  run: (value: T) => void
  invalidate: (() => void) | undefined
}

/** A store of Svelte's contract. Its subscribers are called for equal values, too: each is an event. */
export class Store<T> implements Readable<T> {
  /** A new list for every change: to iterate over a list is faster than over a set. */
  #subscribers: readonly Subscriber<T>[] = []
  #value: T
  #changes = 0

  constructor(value: T) {
    this.#value = value
  }

  /** How often the value was set. */
  get changes(): number {
    return this.#changes
  }

  get(): T {
    return this.#value
  }

  // A property, so that it works without its store: `const { subscribe } = store`.
  readonly subscribe = (run: (value: T) => void, invalidate?: () => void): (() => void) => {
    const subscriber = { run, invalidate }
    // A value that is set meanwhile is the subscriber's first.
    if (!this.#subscribers.length) this.started()
    this.#subscribers = [...this.#subscribers, subscriber]
    run(this.#value)
    return () => {
      if (!this.#subscribers.includes(subscriber)) return
      this.#subscribers = this.#subscribers.filter((other) => other !== subscriber)
      if (!this.#subscribers.length) this.stopped()
    }
  }

  /** Changes the value. Errors of subscribers go to `onThrow`, and the others are called all the same. */
  set(value: T, onThrow: (error: unknown) => void): void {
    this.#value = value
    const change = ++this.#changes
    const subscribers = this.#subscribers
    for (const { invalidate } of subscribers) invalidate?.()
    for (const subscriber of subscribers) {
      // One that was called may have ended another one's subscription, or changed the value again.
      if (this.#changes !== change) return
      if (this.#subscribers !== subscribers && !this.#subscribers.includes(subscriber)) continue
      try {
        subscriber.run(value)
      } catch (error) {
        onThrow(error)
      }
    }
  }

  /** The first subscriber comes. */
  protected started(): void {}

  /** The last subscriber has gone. */
  protected stopped(): void {}
}
