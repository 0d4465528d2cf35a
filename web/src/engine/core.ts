import wasm from 'ssekit:wasm'
import { SourceError } from '../errors.js'

/** The exports of web/wasm; see its exports.rs. */
interface Exports {
  memory: WebAssembly.Memory
  input(length: number): number
  session_open(...settings: number[]): number
  session_free(handle: number): void
  session_input(handle: number, input: number, retryAfter: number, now: number): void
  session_answered(
    handle: number, status: number, type: number, encoding: number, retryAfter: number, now: number,
  ): void
  session_feed(handle: number, length: number, now: number): number
  session_ended(handle: number, now: number): number
  session_output(handle: number): number
  session_deadline(handle: number): number
  output_failure(): number
  output_until(): number
  output_retries(): number
  text_address(): number
  text_length(): number
}

/** The most bytes of a stream that are handed over at once. */
export const PIECE = 65536

// No text here is the beginning of a stream, so a byte order mark is a part of it.
export const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const encoder = new TextEncoder()

/** One instance of the WebAssembly module: its buffers and texts. */
export class Core {
  bytes!: Uint8Array
  numbers!: Int32Array
  /** The address for a piece. */
  #input = 0
  /** Its length. */
  #room = 0

  constructor(readonly exports: Exports) {
    this.refreshViews()
  }

  /** Makes new views after the memory has grown, which replaces its buffer. */
  refreshViews(): void {
    if (this.bytes?.length) return
    this.bytes = new Uint8Array(this.exports.memory.buffer)
    this.numbers = new Int32Array(this.exports.memory.buffer)
  }

  /** Writes bytes to the input of the module. */
  write(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.bytes.set(bytes, this.#input)
  }

  /** Writes texts one after another to the input; returns their lengths in bytes. */
  writeTexts(...texts: string[]): number[] {
    // No UTF-16 unit takes more than three bytes.
    this.#reserve(texts.reduce((sum, text) => sum + 3 * text.length, 0))
    let at = this.#input
    return texts.map((text) => {
      const { written } = encoder.encodeInto(text, this.bytes.subarray(at))
      at += written
      return written
    })
  }

  #reserve(length: number): void {
    if (length > this.#room) {
      this.#room = Math.max(length, PIECE)
      this.#input = this.exports.input(this.#room)
      // An unusually large input is freed by the next request.
      if (length > PIECE) this.#room = 0
    }
    this.refreshViews()
  }

  /** The text of the last output. */
  text(): string {
    const { exports } = this
    const [address, length] = [exports.text_address(), exports.text_length()]
    this.refreshViews()
    return this.textAt(address, length)
  }

  /** A part of memory as text. */
  textAt(address: number, length: number): string {
    return decoder.decode(this.bytes.subarray(address, address + length))
  }
}

let loading: Promise<Core> | undefined

/**
 * The module's instance, made when it is first asked for.
 *
 * @throws SourceError `wasm` where WebAssembly is not allowed
 */
export const loadCore = (): Promise<Core> => (loading ??= instantiate())

/** Discards the instance after a trap; the next connection gets another. */
export const dropCore = (): void => {
  loading = undefined
}

async function instantiate(): Promise<Core> {
  try {
    const { exports } = await instance()
    return new Core(exports as unknown as Exports)
  } catch (cause) {
    loading = undefined
    throw new SourceError(
      'wasm',
      'WebAssembly cannot run here: a page with a Content-Security-Policy allows it by ' +
        "`script-src 'wasm-unsafe-eval'`",
      { cause },
    )
  }
}

async function instance(): Promise<WebAssembly.Instance> {
  if (typeof wasm !== 'string') return WebAssembly.instantiate(wasm)
  const bytes = new Uint8Array(wasm.length)
  for (let at = 0; at < bytes.length; at++) bytes[at] = wasm.charCodeAt(at) ^ 119
  return (await WebAssembly.instantiate(bytes)).instance
}
