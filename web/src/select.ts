import { Store } from './store.js'
import type { Events } from './source.js'
import type { JsonFailure, Message, Readable, Select } from './types.js'

type Mapped<T> = Readable<T | null> & AsyncIterable<T>

/** The latest value that events of one name gave. */
class View<T> extends Store<T> {
  #stop: (() => void) | undefined

  constructor(
    protected readonly source: Events,
    protected readonly event: string,
    first: T,
    private readonly map: (message: Message) => T,
  ) {
    super(first)
  }

  protected override started(): void {
    this.#stop = this.source.listen({
      event: this.event,
      take: (message) => this.set(this.map(message), this.source.thrown),
    })
  }

  protected override stopped(): void {
    this.#stop?.()
  }
}

/** See {@link Select}. */
export class Selected extends View<string> implements Select {
  constructor(source: Events, event: string) {
    super(source, event, '', (message) => message.data)
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    return this.source.iterate(this.event, (message) => message)
  }

  json<T>(or?: (failure: JsonFailure<T>) => T | null): Mapped<T> {
    return this.#mapped(
      () => parser<T>(or ?? (() => null)),
      () => parser<T>(or) as (message: Message) => T,
    )
  }

  transform<T>(fn: (data: string) => T): Mapped<T> {
    const map = (message: Message) => fn(message.data)
    return this.#mapped(() => map, () => map)
  }

  /** A store, and iterators, each with a map of its own. */
  #mapped<T>(ofStore: () => (message: Message) => T | null, ofIterator: () => (message: Message) => T): Mapped<T> {
    return Object.assign(new View<T | null>(this.source, this.event, null, ofStore()), {
      [Symbol.asyncIterator]: () => this.source.iterate(this.event, ofIterator()),
    })
  }
}

function parser<T>(or?: (failure: JsonFailure<T>) => T | null): (message: Message) => T | null {
  let previous: T | null = null
  return ({ data: raw }) => {
    try {
      return (previous = JSON.parse(raw) as T)
    } catch (error) {
      if (!or) throw error
      return or({ error: error as Error, raw, previous })
    }
  }
}
