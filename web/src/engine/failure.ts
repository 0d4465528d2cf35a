import { causesOf, SourceError } from '../errors.js'
import type { SourceErrorCode } from '../types.js'

/** The facts of an attempt for the texts of its errors. */
export interface Attempt {
  url: string
  response?: Response | undefined
  retryAfter?: number | undefined
  /** The thrown value. */
  cause?: unknown
  /** The place of the throw, if not the network. */
  code?: SourceErrorCode | undefined
}

/**
 * The error of a failure of the session.
 *
 * @param number the failure's number in `Instance::note` of web/wasm
 * @param body the beginning of a refusal's body
 */
export function errorOf(number: number, attempt: Attempt, body: string): SourceError {
  const { url, response, cause } = attempt
  const make = (code: SourceErrorCode, message: string, detail: object = {}): SourceError =>
    new SourceError(code, message, cause === undefined ? detail : { cause, ...detail })
  switch (number) {
    case 1:
    case 2:
      if (attempt.code === 'headers') {
        return make('headers', `the headers for ${url} cannot be had: ${text(cause)}`)
      }
      if (number === 1) return make(attempt.code ?? 'connect', `${url} cannot be requested: ${text(cause)}`)
      return make('connect', `no answer from ${url}: ${text(cause)}`)
    case 3:
      return make('connect-timeout', `no answer from ${url} within the connect timeout`)
    case 4:
      return make('read', `the stream of ${url} broke off: ${text(cause)}`)
    case 5:
      return make('read-timeout', `not a byte from ${url} within the read timeout`)
    case 6:
      return make('ended', `${url} ended the stream`)
    case 8: {
      const status = response?.status ?? 0
      const detail = { status, body, ...(attempt.retryAfter! >= 0 && { retryAfter: attempt.retryAfter }) }
      return make('status', `${url} answered ${status} ${response?.statusText ?? ''}`.trimEnd(), detail)
    }
    case 9: {
      const type = response?.headers.get('content-type') ?? 'no content type'
      const detail = { status: response?.status, body }
      return make('content-type', `${url} answered with ${type}, not text/event-stream`, detail)
    }
    case 10:
      return make('content-encoding', `${url} answered in an encoding that cannot be read`)
    case 11:
      return make(
        'frozen',
        `the page stood still, and the request to ${url} is not repeated: it may have had an effect`,
      )
    default:
      return make('no-content', `${url} answered 204: there is nothing to listen to`)
  }
}

/** `fetch failed: connect ECONNREFUSED 127.0.0.1:3000` */
function text(cause: unknown): string {
  return causesOf(cause)
    .map(({ message, code }) => message || code || String(cause))
    .join(': ')
}
