import { SKIP, type Mapping } from './inbox.js'
import { Store } from './store.js'
import type { Events } from './source.js'
import type { JsonFailure, Message, Select, Values } from './types.js'

/** See {@link Select}. */
export class Selected extends Store<string> implements Select {
  #stop: (() => void) | undefined

  constructor(
    readonly source: Events,
    readonly event: string,
  ) {
    super('')
  }

  protected override started(): void {
    this.#stop = this.source.listen({
      event: this.event,
      take: (message) => this.set(message.data, this.source.reportThrown),
    })
  }

  protected override stopped(): void {
    this.#stop?.()
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    return this.source.iterate(this.event, (message) => message)
  }

  json<T>(or?: (failure: JsonFailure<T>) => T | null | undefined): Values<T> {
    return this.#values(
      () => parser<T>(or ?? (() => null)),
      () => parser<T>(or) as (data: string) => T | typeof SKIP,
    )
  }

  transform<T>(fn: (data: string) => T): Values<T> {
    return this.#values(() => fn, () => fn)
  }

  /** A store, and iterators, each with a map of its own. */
  #values<T>(
    ofStore: () => (data: string) => T | null | typeof SKIP,
    ofIterator: () => (data: string) => T | typeof SKIP,
  ): Values<T> {
    const iterate = (): AsyncIterableIterator<T> => {
      const map = ofIterator()
      return this.source.iterate(this.event, ((message) => map(message.data)) as Mapping<T>)
    }
    return Object.assign(new Mapped<T>(this, ofStore()), { [Symbol.asyncIterator]: iterate })
  }
}

/** The latest value that a map has made of a select's data. It starts with the data that the select has. */
class Mapped<T> extends Store<T | null> {
  #stop: (() => void) | undefined
  /** The number of the select's changes that it has mapped: no event is mapped twice. */
  #mapped = 0

  constructor(
    private readonly select: Selected,
    private readonly map: (data: string) => T | null | typeof SKIP,
  ) {
    super(null)
  }

  protected override started(): void {
    this.#stop = this.select.subscribe((data) => {
      const { changes, source } = this.select
      if (this.#mapped === changes) return
      this.#mapped = changes
      try {
        const value = this.map(data)
        if (value !== SKIP) this.set(value, source.reportThrown)
      } catch (error) {
        source.reportThrown(error)
      }
    })
  }

  protected override stopped(): void {
    this.#stop?.()
  }
}

function parser<T>(
  or?: (failure: JsonFailure<T>) => T | null | undefined,
): (data: string) => T | null | typeof SKIP {
  let previous: T | null = null
  return (raw) => {
    try {
      return (previous = JSON.parse(raw) as T)
    } catch (error) {
      if (!or) throw error
      const value = or({ error: error as Error, raw, previous })
      return value === undefined ? SKIP : value
    }
  }
}
