import { PIECE } from './core.js'

type Piece = Uint8Array<ArrayBuffer>

/** A piece of this many bytes tells of a stream that is read into a buffer of one's own. */
const MANY = PIECE / 2
/** One of this many tells of a stream that is not. */
const FEW = PIECE / 16

/**
 * Reads an answer's body.
 *
 * A browser makes a new buffer for each piece, as large as all that has come, and in a fast stream that costs more than
 * to read it. There the pieces are read into one buffer, which costs more where they are small.
 */
export class Body {
  #reader: ReadableStreamDefaultReader<Piece>
  #own: ReadableStreamBYOBReader | undefined
  #buffer = new ArrayBuffer(0)
  /** The body of a `fetch` of the user's may be a stream that cannot be read so. */
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
