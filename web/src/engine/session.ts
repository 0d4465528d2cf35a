import type { Message } from '../types.js'
import { decoder, type Core } from './core.js'
import { Setting, type Settings } from './settings.js'

/** The inputs of a session; the numbers of `Input` in web/wasm. */
export const enum Input {
  start = 0, startLater = 1, restart = 2, close = 3, unsubscribed = 4, ended = 5, failed = 6, unsendable = 7,
  tick = 8, reading = 9, hidden = 10, shown = 11, offline = 12, online = 13, frozen = 14, thawed = 15,
  woken = 16, nothingSent = 17, sent = 18,
}

/** The outputs of a session; the numbers of `Instance::next_output` in web/wasm. */
export const enum Output {
  connectFirst = 1, connect = 2, disconnect = 3, opened = 4, waiting = 5, paused = 6, local = 7,
  unsubscribed = 8, ended = 9, noContent = 10, failed = 11, gaveUp = 12, notRepeated = 13,
}

/** Rows of the table that are not events; see table.rs. */
const kinds: Record<number, Item['kind']> = { [-2]: 'too-large', [-3]: 'id', [-4]: 'incomplete-event' }
const HEAD = 4
const ROW = 5

/** An event, a block that has only set the last event ID, or a dropped event: too large or incomplete. */
export type Item = Message & { readonly kind?: 'id' | 'too-large' | 'incomplete-event' | undefined }

/** The largest piece that is read here, in bytes. */
const SIMPLE = 2048

const nothing: readonly Item[] = []
const none = new Uint8Array()

/** The state machine and decoder of one connection, in WebAssembly. */
export class Session {
  readonly #handle: number
  readonly #names = ['message']
  #id: string
  /** The last piece has ended a block, and the decoder or this has read it: the next begins one. */
  #isBetween = false
  /** Events were read here that the decoder has not seen. */
  #isAhead = false
  /** The time of the last of them. */
  #readAt = 0
  readonly #simpleLimit: number

  constructor(
    readonly core: Core,
    settings: Settings,
    method: string,
    lastEventId: string,
  ) {
    const lengths = core.writeTexts(lastEventId, method)
    this.#handle = core.exports.session_open(...settings, ...lengths, Math.random())
    this.#id = lastEventId
    const limit = settings[Setting.maxEventBytes]!
    this.#simpleLimit = limit < 0 ? SIMPLE : Math.min(SIMPLE, limit)
  }

  free(): void {
    try {
      this.core.exports.session_free(this.#handle)
    } catch {
      // The module has trapped, and is discarded.
    }
  }

  input(input: number, retryAfter = -1): void {
    this.#catchUp()
    this.core.exports.session_input(this.#handle, input, retryAfter, performance.now())
  }

  /** The head of the answer: a stream begins, or a refusal. */
  answered(status: number, type: string | null, encoding: string | null, retryAfter: number): void {
    this.#isBetween = false
    const lengths = this.core.writeTexts(type ?? '', encoding ?? '') as [number, number]
    this.core.exports.session_answered(
      this.#handle, status, type === null ? -1 : lengths[0], encoding === null ? -1 : lengths[1], retryAfter,
      performance.now(),
    )
  }

  /** The items of a piece of at most `PIECE` bytes. */
  feed(piece: Uint8Array): readonly Item[] {
    return this.#simple(piece) ?? this.#read(piece)
  }

  #read(piece: Uint8Array): readonly Item[] {
    const { core } = this
    this.#catchUp()
    core.write(piece)
    const address = core.exports.session_feed(this.#handle, piece.length, performance.now())
    const items = this.#items(address, piece)
    // Only a stream has events: of a refusal, nothing is read here.
    this.#isBetween = items.length > 0 && endsInBlank(piece)
    return items
  }

  /** The body has ended: the event whose blank line is missing, if there is one. */
  ended(): readonly Item[] {
    this.#catchUp()
    return this.#items(this.core.exports.session_ended(this.#handle, performance.now()), none)
  }

  /** The rows of the table at this address. */
  #items(address: number, piece: Uint8Array): readonly Item[] {
    const { core } = this
    core.refreshViews()
    const { numbers } = core
    let row = address >> 2
    const count = numbers[row] as number
    if (!count) return nothing
    const length = numbers[row + 2] as number
    const text = length ? core.textAt(numbers[row + 1] as number, length) : ''
    // Decoded when an event is found that lies in the piece: of a large one that was cut, none does.
    let whole: string | undefined
    const items = new Array<Item>(count)
    row += HEAD
    let at = 0
    for (let i = 0; i < count; i++, row += ROW) {
      const name = numbers[row] as number
      const event = this.#name(name, text, at, (at += Math.max(0, numbers[row + 1] as number)))
      const idLength = numbers[row + 2] as number
      if (idLength >= 0) this.#id = text.slice(at, (at += idLength))
      const start = numbers[row + 3] as number
      const length = numbers[row + 4] as number
      const data =
        start >= 0
          ? (whole ??= decoder.decode(piece)).slice(start, start + length)
          : text.slice(at, (at += length))
      const message = { id: this.#id, event, data }
      items[i] = name >= -1 ? message : { ...message, kind: kinds[name] }
    }
    return items
  }

  /**
   * The events of a small piece of only simple events, as most servers send them: an id, a name, one line of
   * data. To cross the boundary and back would cost more than to read them.
   */
  #simple(piece: Uint8Array): readonly Item[] | undefined {
    if (!this.#isBetween || piece.length > this.#simpleLimit || !endsInBlank(piece)) return undefined
    const text = decoder.decode(piece)
    if (text.includes('\r')) return undefined
    const items: Item[] = []
    let id = this.#id
    for (let at = 0; at < text.length; ) {
      let event = 'message'
      if (text.startsWith('id: ', at)) {
        const end = text.indexOf('\n', at)
        id = text.slice(at + 4, end)
        if (id.includes('\0')) return undefined
        at = end + 1
      }
      if (text.startsWith('event: ', at)) {
        const end = text.indexOf('\n', at)
        event = text.slice(at + 7, end) || event
        at = end + 1
      }
      const end = text.indexOf('\n', at)
      if (!text.startsWith('data: ', at) || text[end + 1] !== '\n') return undefined
      items.push({ id, event, data: text.slice(at + 6, end) })
      at = end + 2
    }
    this.#id = id
    this.#isAhead = true
    this.#readAt = performance.now()
    return items
  }

  /** Gives the decoder a short event instead of those that were read here, at their time. */
  #catchUp(): void {
    if (!this.#isAhead) return
    this.#isAhead = false
    const [length] = this.core.writeTexts(`id: ${this.#id}\ndata\n\n`) as [number]
    this.core.exports.session_feed(this.#handle, length, this.#readAt)
  }

  #name(number: number, text: string, at: number, end: number): string {
    if (number < 0) return text.slice(at, end)
    return (this.#names[number] ??= text.slice(at, end))
  }

  /** The next output, 0 for none. */
  output(): number {
    return this.core.exports.session_output(this.#handle)
  }

  /** The details of the last output. */
  detail(): { failure: number; until: number; retries: number; text: string } {
    const { exports } = this.core
    return {
      failure: exports.output_failure(),
      until: exports.output_until(),
      retries: exports.output_retries(),
      text: this.core.text(),
    }
  }

  /** Milliseconds until a tick is due; undefined for never. */
  deadline(): number | undefined {
    const deadline = this.core.exports.session_deadline(this.#handle)
    return deadline < 0 ? undefined : Math.max(0, deadline - performance.now())
  }

  /** The last event ID, which the next attempt sends; empty for none. */
  get lastEventId(): string {
    return this.#id
  }
}

/** Whether a piece ends in a blank line: then it ends a block. */
function endsInBlank(piece: Uint8Array): boolean {
  const { length } = piece
  return length > 1 && piece[length - 1] === 10 && piece[length - 2] === 10
}
