/** The producer of a response of `produce`, loaded when a response is first read. */
import { FINISHED, isSendable } from './event-id.js'
import type { EventFields, ProduceOptions, Start, StartContext, Unsafe } from './produce-types.js'
import { Store } from './store.js'

type Source = UnderlyingDefaultSource<Uint8Array>
type Controller = ReadableStreamDefaultController<Uint8Array>

const LONGEST_PING = 0x7fffffff
const MAX_EVENT = 16 << 20

/** Starts a stream; returns the object that its reader pulls from. */
export function begin(
  source: Source,
  start: Start,
  options: ProduceOptions,
  ping: number | false,
  lastEventId: string,
): Producer {
  const producer = new Producer(source, options, lastEventId)
  producer.run(start, ping)
  return producer
}

const encoder = new TextEncoder()
const done: Unsafe<void> = { value: undefined, error: false }
const failed = (message: string): Unsafe<void> => ({ value: null, error: new Error(message) })

/** A field with a line for each line of the text: CR, LF and CRLF end one. */
const lines = (field: string, text: string): string =>
  text
    .split(/\r\n|[\r\n]/)
    .map((line) => `${field}${line}\n`)
    .join('')

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

/** A stream of events: the bytes that wait for its reader, and how it ends. */
export class Producer {
  #queue: Uint8Array[] = []
  /** Bytes of the queue. */
  #waiting = 0
  readonly #limit: number
  /** The id of the next event without its own; none if they are not counted. */
  #nextId: number | undefined
  /**
   * Lines before the first event: a block of their own would be an empty event for clients of sveltekit-sse.
   */
  #head: string
  #connected = true
  /** The error that `start` has thrown. */
  #failure: unknown
  readonly #abort = new AbortController()
  readonly #lock = new Lock((isLocked) => !isLocked && void this.#stop())
  #started: Promise<unknown> = Promise.resolve()
  #timer: ReturnType<typeof setInterval> | undefined
  /** Wakes the reader, which waits for events or the end. */
  #wake: () => void = () => {}
  /** Wakes the calls of `send` that wait for room. */
  #room: (() => void)[] = []

  constructor(
    readonly source: Source,
    readonly options: ProduceOptions,
    readonly lastEventId: string,
  ) {
    this.#limit = options.buffer ?? 1 << 20
    this.#nextId = options.idsFrom
    this.#head = options.retry === undefined ? '' : `retry: ${options.retry}\n`
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
      console.error('ssekit: `start` of a stream has thrown, and the stream is cut:', error)
      this.#failure = error ?? new Error('`start` of a stream has thrown')
      this.#close()
      return undefined
    }
  }

  #context(): StartContext {
    const lock = this.#lock
    return {
      source: this.source,
      emit: this.#emit,
      send: this.#send,
      comment: this.#comment,
      lastEventId: this.lastEventId,
      lock: {
        subscribe: lock.subscribe,
        set: lock.write,
        update: (change) => lock.write(change(lock.get())),
      },
      close: this.#close,
      finish: this.#finish,
      signal: this.#abort.signal,
    }
  }

  // For the reader.

  readonly pull = async (controller: Controller): Promise<void> => {
    while (!this.#waiting && this.#connected) await new Promise<void>((wake) => (this.#wake = wake))
    if (this.#waiting) controller.enqueue(this.#take())
    if (this.#waiting || this.#connected) return
    // A reader must not take the events so far for all of them.
    if (this.#failure) controller.error(this.#failure)
    else controller.close()
  }

  readonly cancel = async (): Promise<void> => {
    this.#take()
    this.#close()
  }

  // For `start`.

  readonly #emit = (name: string, data: string, fields: EventFields = {}): Unsafe<void> => {
    const problem = this.#problem(name, data, fields)
    if (problem) return failed(problem)
    const { id = this.#nextId, retry } = fields
    const head = (retry === undefined ? '' : `retry: ${retry}\n`) + (id === undefined ? '' : `id: ${id}\n`)
    const result = this.#write(`${head}event: ${name}\n${lines('data: ', data)}\n`)
    if (!result.error && fields.id === undefined && this.#nextId !== undefined) this.#nextId++
    return result
  }

  readonly #send = async (name: string, data: string, fields: EventFields = {}): Promise<Unsafe<void>> => {
    while (!this.#problem(name, data, fields) && !this.#hasRoom(name.length + data.length)) {
      await new Promise<void>((wake) => this.#room.push(wake))
    }
    return this.#emit(name, data, fields)
  }

  readonly #comment = (text = ''): Unsafe<void> =>
    this.#connected ? this.#write(text ? lines(': ', text) : ':\n') : failed(GONE)

  readonly #close = (): void => this.#lock.write(false)

  readonly #finish = (): void => {
    // However much waits: it is the last block.
    if (this.#connected) this.#push(`id: ${FINISHED}\n\n`)
    this.#close()
  }

  /** The reason why an event cannot be sent now, or never. */
  #problem(name: unknown, data: unknown, { id = '', retry = 0 }: EventFields): string | undefined {
    if (!this.#connected) return GONE
    if (typeof name !== 'string') return `Event name must of type \`string\`, received \`${typeof name}\`.`
    if (typeof data !== 'string') return `Event data must of type \`string\`, received \`${typeof data}\`.`
    if (/[\r\n]/.test(name)) return `Event name must not contain new line characters, received "${name}".`
    if (!isSendable(`${id}`)) {
      const rule = 'Event id must not contain control characters, or begin or end with white space'
      return `${rule}, received "${id}".`
    }
    if (!/^\d+$/.test(`${retry}`)) {
      return `Event retry must be a whole number of milliseconds, received ${retry}.`
    }
    if (data.length > MAX_EVENT) return `The event is larger than ${MAX_EVENT} bytes.`
    return undefined
  }

  #write(text: string): Unsafe<void> {
    const bytes = encoder.encode(this.#head + text)
    if (bytes.length > MAX_EVENT) return failed(`The event is larger than ${MAX_EVENT} bytes.`)
    if (!this.#hasRoom(bytes.length)) {
      return failed(`The buffer of the stream is full: the client has not read ${this.#waiting} bytes.`)
    }
    this.#head = ''
    this.#pushBytes(bytes)
    return done
  }

  readonly #ping = (): void => {
    // The bytes that wait will show whether the client is there.
    if (!this.#waiting) this.#push(this.options.pingAs === 'comment' ? ':\n' : 'event: ping\ndata: \n\n')
  }

  // The queue.

  /** One event always has room. */
  #hasRoom(length: number): boolean {
    return !this.#waiting || this.#waiting + length <= this.#limit
  }

  #push(text: string): void {
    const bytes = encoder.encode(this.#head + text)
    this.#head = ''
    this.#pushBytes(bytes)
  }

  #pushBytes(bytes: Uint8Array): void {
    this.#queue.push(bytes)
    this.#waiting += bytes.length
    this.#wake()
  }

  /** The whole queue, in one piece. */
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

  /** Runs once, for whatever reason the stream ends. The bytes that wait are still read. */
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
      console.error('ssekit: a function that runs when a stream has stopped has thrown:', error)
    }
  }
}

const GONE = 'Client disconnected from the stream.'
