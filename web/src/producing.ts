/** What loads when an answer of `produce` is first read. */
import { loadCore, type Core } from './engine/core.js'
import type { ProduceOptions, Start, StartContext, Unsafe } from './produce-types.js'
import { Store } from './store.js'

type Source = UnderlyingDefaultSource<Uint8Array>
type Controller = ReadableStreamDefaultController<Uint8Array>

const LONGEST_PING = 0x7fffffff
const MAX_EVENT = 16 << 20

/** Starts a stream; gives what its reader pulls from. */
export async function begin(
  source: Source,
  start: Start,
  options: ProduceOptions,
  ping: number | false,
): Promise<Production> {
  const core = await loadCore()
  const production = new Production(core, source, options)
  production.run(start, ping)
  return production
}

const done: Unsafe<void> = { value: undefined, error: false }
const failed = (message: string): Unsafe<void> => ({ value: null, error: new Error(message) })

class Lock extends Store<boolean> {
  constructor(private readonly changed: (value: boolean) => void) {
    super(true)
  }

  readonly write = (value: boolean): void => {
    if (value === this.get()) return
    super.set(value, console.error)
    this.changed(value)
  }
}

/** A stream of events: what waits for its reader, and how it ends. */
export class Production {
  #queue: Uint8Array[] = []
  /** Bytes of the queue. */
  #waiting = 0
  readonly #limit: number
  #lastId = 0
  #connected = true
  readonly #abort = new AbortController()
  readonly #lock = new Lock((isLocked) => !isLocked && void this.#stop())
  #started: Promise<unknown> = Promise.resolve()
  #timer: ReturnType<typeof setInterval> | undefined
  /** Wakes the reader, which waits for events or the end. */
  #wake: () => void = () => {}
  /** Wakes those who wait for room. */
  #room: (() => void)[] = []

  constructor(
    readonly core: Core,
    readonly source: Source,
    readonly options: ProduceOptions,
  ) {
    this.#limit = options.buffer ?? 1 << 20
  }

  run(start: Start, ping: number | false): void {
    this.#started = this.#start(start)
    if (ping === false || !this.#connected) return
    this.#timer = setInterval(this.#ping, Math.min(ping, LONGEST_PING))
  }

  async #start(start: Start): Promise<unknown> {
    try {
      return await start(this.#context())
    } catch (error) {
      console.error('ssekit: `start` of a stream has thrown, and the stream ends:', error)
      this.#lock.write(false)
      return undefined
    }
  }

  #context(): StartContext {
    const lock = this.#lock
    return {
      source: this.source,
      emit: this.#emit,
      send: this.#send,
      lock: {
        subscribe: (run, invalidate) => lock.subscribe(run, invalidate),
        set: lock.write,
        update: (change) => lock.write(change(lock.get())),
      },
      signal: this.#abort.signal,
    }
  }

  // What the reader does.

  readonly pull = async (controller: Controller): Promise<void> => {
    while (!this.#waiting && this.#connected) await new Promise<void>((wake) => (this.#wake = wake))
    if (this.#waiting) controller.enqueue(this.#take())
    if (!this.#waiting && !this.#connected) controller.close()
  }

  readonly cancel = async (): Promise<void> => {
    this.#take()
    this.#lock.write(false)
  }

  // What start does.

  readonly #emit = (name: string, data: string): Unsafe<void> => {
    const problem = this.#problem(name, data)
    if (problem) return failed(problem)
    const bytes = this.#encode(name, data, this.#lastId + 1)
    if (bytes.length > MAX_EVENT) return failed(`The event is larger than ${MAX_EVENT} bytes.`)
    if (!this.#hasRoom(bytes.length)) {
      return failed(`The buffer of the stream is full: the client has not read ${this.#waiting} bytes.`)
    }
    this.#lastId++
    this.#push(bytes)
    return done
  }

  readonly #send = async (name: string, data: string): Promise<Unsafe<void>> => {
    while (!this.#problem(name, data) && !this.#hasRoom(name.length + data.length)) {
      await new Promise<void>((wake) => this.#room.push(wake))
    }
    return this.#emit(name, data)
  }

  /** What is wrong with an event, or with sending it now. */
  #problem(name: unknown, data: unknown): string | undefined {
    if (!this.#connected) return 'Client disconnected from the stream.'
    if (typeof name !== 'string') return `Event name must of type \`string\`, received \`${typeof name}\`.`
    if (typeof data !== 'string') return `Event data must of type \`string\`, received \`${typeof data}\`.`
    if (/[\r\n]/.test(name)) return `Event name must not contain new line characters, received "${name}".`
    return undefined
  }

  #encode(name: string, data: string, id: number): Uint8Array {
    const lengths = this.core.writeTexts(name, data) as [number, number]
    this.core.exports.encode_event(...lengths, id)
    return this.core.textBytes().slice()
  }

  readonly #ping = (): void => {
    // What waits will show whether the client is there.
    if (this.#waiting) return
    if (this.options.pingAs === 'comment') {
      this.core.exports.encode_comment()
      this.#push(this.core.textBytes().slice())
    } else this.#push(this.#encode('ping', '', -1))
  }

  // What waits.

  /** One event always has room. */
  #hasRoom(length: number): boolean {
    return !this.#waiting || this.#waiting + length <= this.#limit
  }

  #push(bytes: Uint8Array): void {
    this.#queue.push(bytes)
    this.#waiting += bytes.length
    this.#wake()
  }

  /** All that waits, in one piece. */
  #take(): Uint8Array {
    const all = this.#queue.length === 1 ? (this.#queue[0] as Uint8Array) : new Uint8Array(this.#waiting)
    if (this.#queue.length !== 1) {
      let at = 0
      for (const bytes of this.#queue) {
        all.set(bytes, at)
        at += bytes.length
      }
    }
    this.#queue = []
    this.#waiting = 0
    for (const wake of this.#room.splice(0)) wake()
    return all
  }

  /** Once, however the stream ends. What waits is still read. */
  async #stop(): Promise<void> {
    if (!this.#connected) return
    this.#connected = false
    clearInterval(this.#timer)
    this.#abort.abort()
    this.#wake()
    for (const wake of this.#room.splice(0)) wake()
    await this.#hook(this.options.stop)
    await this.#hook(await this.#started)
  }

  async #hook(stop: unknown): Promise<void> {
    if (typeof stop !== 'function') return
    try {
      await stop(this.source)
    } catch (error) {
      console.error('ssekit: what runs when a stream has stopped has thrown:', error)
    }
  }
}
