import type { Message } from '../types.js'
import { PIECE, type Core } from './core.js'
import type { Settings } from './settings.js'

/** What a session is told; the numbers of `Input` in web/wasm. */
export const Input = {
  start: 0, startLater: 1, restart: 2, close: 3, unsubscribed: 4, ended: 5, failed: 6, unsendable: 7, tick: 8,
  reading: 9, hidden: 10, shown: 11, offline: 12, online: 13, thawed: 14,
} as const

/** What is to be done; the numbers of `Page::next_output`. */
export const Output = {
  connectFirst: 1, connect: 2, disconnect: 3, opened: 4, waiting: 5, paused: 6, local: 7, unsubscribed: 8, ended: 9,
  noContent: 10, failed: 11, gaveUp: 12,
} as const

/** Of rows that are no events; see table.rs. */
const TOO_LARGE = -2
const ID_ALONE = -3
const HEAD = 4
const ROW = 4

/** What came: an event, a block that has set the last event ID, or an event that was too large. */
export type Item = Message & { readonly kind?: 'id' | 'too-large' }

const nothing: readonly Item[] = []

/** The state machine and decoder of one connection, in WebAssembly. */
export class Session {
  readonly #handle: number
  readonly #names = ['message']
  #id: string

  /** @throws RangeError when the last event ID is none */
  constructor(
    readonly core: Core,
    settings: Settings,
    lastEventId: string,
  ) {
    const [length] = core.writeTexts(lastEventId) as [number]
    this.#handle = core.exports.session_open(...settings, length, Math.random())
    if (this.#handle < 0) throw new RangeError('the last event ID holds a line end or NUL')
    this.#id = lastEventId
  }

  free(): void {
    try {
      this.core.exports.session_free(this.#handle)
    } catch {
      // The module has trapped: it goes as a whole.
    }
  }

  tell(input: number, retryAfter = -1): void {
    this.core.exports.session_tell(this.#handle, input, retryAfter, performance.now())
  }

  answered(status: number, type: string | null, encoding: string | null, retryAfter: number): void {
    const lengths = this.core.writeTexts(type ?? '', encoding ?? '') as [number, number]
    this.core.exports.session_answered(
      this.#handle, status, type === null ? -1 : lengths[0], encoding === null ? -1 : lengths[1], retryAfter,
      performance.now(),
    )
  }

  /** What a piece brings, of at most {@link PIECE} bytes. */
  feed(piece: Uint8Array): readonly Item[] {
    const { core } = this
    core.write(piece)
    const address = core.exports.session_feed(this.#handle, piece.length, performance.now())
    core.look()
    const { numbers } = core
    let row = address >> 2
    const count = numbers[row] as number
    if (!count) return nothing
    const text = core.textAt(numbers[row + 1] as number, numbers[row + 2] as number)
    const messages = new Array<Item>(count)
    row += HEAD
    let at = 0
    for (let i = 0; i < count; i++, row += ROW) {
      const name = numbers[row] as number
      const nameEnd = at + Math.max(0, numbers[row + 1] as number)
      const idLength = numbers[row + 2] as number
      const idEnd = nameEnd + Math.max(0, idLength)
      const dataEnd = idEnd + (numbers[row + 3] as number)
      if (idLength >= 0) this.#id = text.slice(nameEnd, idEnd)
      const message = { id: this.#id, event: this.#name(name, text, at, nameEnd), data: text.slice(idEnd, dataEnd) }
      messages[i] = name > TOO_LARGE ? message : { ...message, kind: name === ID_ALONE ? 'id' : 'too-large' }
      at = dataEnd
    }
    return messages
  }

  #name(number: number, text: string, at: number, end: number): string {
    if (number < 0) return text.slice(at, end)
    return (this.#names[number] ??= text.slice(at, end))
  }

  /** What is to be done next, 0 for nothing. */
  output(): number {
    return this.core.exports.session_output(this.#handle)
  }

  /** What the last output says besides. */
  detail(): { trouble: number; until: number; retries: number; text: string } {
    const { exports } = this.core
    return {
      trouble: exports.output_trouble(),
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

  lastEventId(): string {
    this.core.exports.session_id(this.#handle)
    return this.core.text()
  }
}
