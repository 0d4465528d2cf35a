/** Keys of requests: sources whose requests have the same key share a connection. */
import type { SourceOptions } from '../types.js'
import { isSubscription, type RequestSpec, type Settings } from './settings.js'

/**
 * The key of a connection within this page; undefined for a connection that only one source uses.
 *
 * Requests with a body never share a connection, and those whose headers are from a function only if the page
 * says by `key` that they ask for the same.
 */
export function keyOf(options: SourceOptions, spec: RequestSpec, numbers: Settings): string | undefined {
  const { init, headers, signal } = spec
  const isOpaque = typeof headers === 'function' && options.key === undefined
  if (options.share === false || !isSubscription(init) || isOpaque) return undefined
  const ofPage = [!!options.tabs, content(signal), content(options.fetch)]
  return JSON.stringify([...requestKey(options, spec, numbers), ...ofPage])
}

/**
 * The key of a connection among the tabs of this origin; undefined for a connection that only this tab uses.
 *
 * Tabs share a connection only if they provably ask for the same with the same rights. The values of a
 * request prove that, unless the browser adds cookies: another user may have logged in since the other tab
 * connected. Then, and where a function makes the headers or the request, `key` has to name the owner of the
 * events.
 */
export function tabsKeyOf(options: SourceOptions, spec: RequestSpec, numbers: Settings): string | undefined {
  const isProven = options.key !== undefined || !(options.fetch || hasCookies(spec))
  return isProven ? `ssekit:${JSON.stringify(requestKey(options, spec, numbers))}` : undefined
}

/** The parts that equal requests have in common, for JSON. */
function requestKey(options: SourceOptions, spec: RequestSpec, numbers: Settings): unknown[] {
  const { url, init, headers } = spec
  const sent = typeof headers === 'function' ? 'function' : [...new Headers(headers)]
  return [url, membersOf(init), sent, options.key, options.lastEventId ?? '', numbers.map(String)]
}

/** Whether the browser may add cookies or other credentials to the request. */
function hasCookies({ url, init: { credentials } }: RequestSpec): boolean {
  if (credentials === 'include' || credentials === 'omit') return credentials === 'include'
  // Not that of `location`: a frame of about:blank has its parent's origin, and sends its cookies.
  return new URL(url).origin === globalThis.origin
}

/** The members of a request, in whatever order they were given. */
function membersOf(init: RequestInit): (readonly [name: string, content: unknown])[] {
  const members = Object.entries(init).map(([name, value]) => [name, content(value)] as const)
  return members.sort(([a], [b]) => (a < b ? -1 : 1))
}

/** The value itself, or a number that is the same only for the same object. */
function content(value: unknown): unknown {
  return Object(value) === value ? ['object', identity(value as object)] : value
}

let identities: WeakMap<object, number> | undefined
let lastIdentity = 0

function identity(object: object): number {
  identities ??= new WeakMap()
  let number = identities.get(object)
  if (!number) identities.set(object, (number = ++lastIdentity))
  return number
}
