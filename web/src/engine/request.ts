import { causesOf } from '../errors.js'
import { isSendable } from '../event-id.js'
import type { RequestSpec } from './settings.js'

/** Encodings that `fetch` decodes, although the answer still names them. */
const undone = /^(identity|(x-)?gzip|deflate|br|zstd|dcb|dcz)$/i

/** The `Content-Encoding` of an answer, if `fetch` has not decoded it. */
export function encodingOf(headers: Headers): string | null {
  const encoding = headers.get('content-encoding')
  return encoding && encoding.split(',').every((one) => undone.test(one.trim())) ? null : encoding
}

/** `Retry-After` in milliseconds: seconds or an HTTP date (RFC 9110, 10.2.3); -1 for none. */
export function retryAfterOf(headers: Headers): number {
  const value = headers.get('retry-after')?.trim() ?? ''
  if (/^\d+$/.test(value)) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? -1 : Math.max(0, date - Date.now())
}

/** Codes of failures before a request is sent, of Node and Bun; a browser has none. */
const unsent =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|ConnectionRefused|FailedToOpenSocket)$/

/** Whether a failure proves that the server has not got the request. */
export function isUnsent(cause: unknown): boolean {
  return causesOf(cause).some(({ code }) => unsent.test(`${code}`))
}

/** Whether the request goes to this machine, which no network is needed for. */
export function isLoopback(url: string): boolean {
  return /^(localhost|.+\.localhost|127\.[\d.]+|\[::1\])$/.test(new URL(url).hostname)
}

/**
 * The headers of an attempt.
 *
 * @returns them, and whether the last event ID could be put there
 */
export async function headersOf(spec: RequestSpec, lastEventId: string): Promise<[Headers, boolean]> {
  const given = typeof spec.headers === 'function' ? await spec.headers() : spec.headers
  const headers = new Headers(given)
  if (!headers.has('accept')) headers.set('accept', 'text/event-stream')
  if (!lastEventId) return [headers, true]
  // No server accepts longer ones.
  if (lastEventId.length > 16_384) return [headers, false]
  if (!isSendable(lastEventId)) return [headers, false]
  // A header's value is bytes: those of the id in UTF-8 (HTML standard 9.2.4).
  headers.set('last-event-id', String.fromCharCode(...new TextEncoder().encode(lastEventId)))
  return [headers, true]
}
