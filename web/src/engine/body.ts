import { PIECE } from './core.js'

type Piece = Uint8Array<ArrayBuffer>

/** The smallest piece for which a stream is read into a buffer of its own. */
const MANY = PIECE / 2
/** The largest piece for which it is not any more. */
const FEW = PIECE / 16

/**
 * Reads an answer's body.
 *
 * A browser makes a new buffer for each piece, as large as the received bytes, which costs more than reading
 * in a fast stream. There the pieces are read into one buffer, which costs more if they are small.
 */
export class Body {
  #reader: ReadableStreamDefaultReader<Piece>
  #own: ReadableStreamBYOBReader | undefined
  #buffer = new ArrayBuffer(0)
  /** The body of a custom `fetch` may be a stream that cannot be read so. */
  #canOwn = true

  constructor(readonly stream: ReadableStream<Piece>) {
    this.#reader = stream.getReader()
  }

  /** The next piece, which is good until {@link used}. */
  read(): Promise<ReadableStreamReadResult<Piece>> {
    return this.#own ? this.#own.read(new Uint8Array(this.#buffer)) : this.#reader.read()
  }

  used(piece: Piece): void {
    if (!this.#own) {
      if (piece.length >= MANY && this.#canOwn) this.#takeOver()
    } else {
      this.#buffer = piece.buffer
      if (piece.length <= FEW) this.#handBack()
    }
  }

  cancel(): void {
    const reader = this.#own ?? this.#reader
    reader.cancel().catch(() => {})
  }

  #takeOver(): void {
    this.#reader.releaseLock()
    try {
      this.#own = this.stream.getReader({ mode: 'byob' })
      if (!this.#buffer.byteLength) this.#buffer = new ArrayBuffer(PIECE)
    } catch {
      this.#canOwn = false
      this.#reader = this.stream.getReader()
    }
  }

  #handBack(): void {
    this.#own?.releaseLock()
    this.#own = undefined
    this.#reader = this.stream.getReader()
  }
}
