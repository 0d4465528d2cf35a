import type { Readable } from './types.js'

interface Subscriber<T> {
  run: (value: T) => void
  invalidate: (() => void) | undefined
  /** Which change it has seen. */
  seen: number
}

/** A store of Svelte's contract. Equal values are told too: each is an event. */
export class Store<T> implements Readable<T> {
  #subscribers = new Set<Subscriber<T>>()
  #value: T
  #changes = 0

  constructor(value: T) {
    this.#value = value
  }

  get(): T {
    return this.#value
  }

  subscribe(run: (value: T) => void, invalidate?: () => void): () => void {
    const subscriber = { run, invalidate, seen: this.#changes }
    this.#subscribers.add(subscriber)
    if (this.#subscribers.size === 1) this.started()
    run(this.#value)
    return () => {
      if (this.#subscribers.delete(subscriber) && !this.#subscribers.size) this.stopped()
    }
  }

  /** Changes the value. What a subscriber throws goes to `thrown`, and the others are told all the same. */
  set(value: T, thrown: (error: unknown) => void): void {
    this.#value = value
    const change = ++this.#changes
    for (const { invalidate } of this.#subscribers) invalidate?.()
    for (const subscriber of this.#subscribers) {
      if (subscriber.seen === change) continue
      subscriber.seen = change
      try {
        subscriber.run(value)
      } catch (error) {
        thrown(error)
      }
    }
  }

  /** The first subscriber has come. */
  protected started(): void {}

  /** The last subscriber has gone. */
  protected stopped(): void {}
}
