/** Last event IDs, which clients send in the header `Last-Event-ID`. */

/** A request of the web platform, or of Node's `http`. */
export interface RequestLike {
  readonly headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>
  readonly url?: string | undefined
}

/** The id of a block that ends a stream for good: a client that returns after it is answered 204. */
export const FINISHED = 'ssekit:finished'

/** Whether a header can carry an id: no control characters, no white space at its ends (RFC 9110, 5.5). */
export const isSendable = (id: string): boolean => !/[\0-\x08\n-\x1f\x7f]|^[\t ]|[\t ]$/.test(id)

/** The last event ID of a request, in its header or, like `?lastEventId=4`, in its query; empty for none. */
export function lastEventIdOf({ headers, url = '' }: RequestLike): string {
  const header = headers instanceof Headers ? headers.get('last-event-id') : headers['last-event-id']
  if (header) return decoded(`${header}`)
  const query = [...new URLSearchParams(url.split('?')[1])]
  return query.find(([name, id]) => /^last[-_]?event[-_]?id$/i.test(name) && id)?.[1] ?? ''
}

/** A header has a character for each byte of its UTF-8 (HTML standard 9.2.4). */
function decoded(header: string): string {
  const bytes = Uint8Array.from(header, (character) => character.charCodeAt(0))
  return new TextDecoder().decode(bytes)
}
