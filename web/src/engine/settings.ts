import type { ReconnectOptions, RequestOptions, SourceOptions } from '../types.js'

/** The numbers of `Settings` in web/wasm, in its order; -1 for an option that is not set. */
export type Settings = readonly number[]

/** The indices of some of them. */
export const enum Setting { preset = 0, delay = 1, minDelay = 2, maxEventBytes = 10, pausesHidden = 11 }

const presets = ['resilient', 'standard', 'never']
export const STANDARD = 1
const afterEnds = ['always', 'asked', 'never', 'by-method']

/** @throws TypeError for an unknown word */
export function settings(options: SourceOptions, init: RequestInit): Settings {
  const given = options.reconnect ?? {}
  const policy: ReconnectOptions = typeof given === 'string' ? { preset: given } : given
  const preset = policy.preset ?? 'resilient'
  const afterEnd = policy.afterEnd ?? (preset === 'standard' ? 'by-method' : 'asked')
  return [
    word(presets, preset, 'reconnect'),
    policy.delay ?? -1,
    policy.minDelay ?? -1,
    policy.maxDelay ?? -1,
    policy.maxServerDelay ?? -1,
    policy.maxRetries ?? -1,
    policy.jitter === false ? 0 : -1,
    word(afterEnds, afterEnd, 'afterEnd'),
    options.connectTimeout ?? -1,
    options.readTimeout ?? -1,
    options.maxEventBytes ?? -1,
    (options.openWhenHidden ?? options.options?.openWhenHidden) === false ? 1 : 0,
    policy.repeatLikeSafe ?? isSubscription(init) ? 1 : 0,
    options.acceptIncompleteEvent ? 1 : 0,
  ]
}

/**
 * Whether a request only asks for events: a GET, or a POST without a body, as of sveltekit-sse. It may be
 * repeated, and sources share it.
 */
export function isSubscription({ method = 'GET', body }: RequestInit): boolean {
  return /^(get|post)$/i.test(method) && body == null
}

function word(words: string[], given: string, option: string): number {
  const number = words.indexOf(given)
  if (number < 0) throw new TypeError(`\`${option}\` is one of ${words.join(', ')}, not "${given}"`)
  return number
}

/** Options that are not for `fetch`. */
const own = new Set([
  'options', 'fetch', 'share', 'key', 'tabs', 'reconnect', 'connectTimeout', 'readTimeout', 'lastEventId',
  'maxEventBytes', 'buffer', 'acceptIncompleteEvent', 'open', 'onopen', 'close', 'onclose', 'error',
  'onerror', 'onmessage', 'openWhenHidden', 'signal', 'headers',
])
const ownNested = new Set([
  'onopen', 'onmessage', 'onclose', 'onerror', 'openWhenHidden', 'signal', 'headers',
])

/** The request of a source: the flat options over the nested ones. */
export interface RequestSpec {
  url: string
  /** For `fetch`, without headers and signal. */
  init: RequestInit
  headers: RequestOptions['headers']
  signal: AbortSignal | undefined
}

/** @throws TypeError when the URL is none, or for the `cache` of sveltekit-sse */
export function requestSpec(from: string | URL, options: SourceOptions): RequestSpec {
  const nested = options.options ?? {}
  const init: RequestInit = { method: 'POST' }
  for (const [given, skipped] of [[nested, ownNested], [options, own]] as const) {
    for (const [name, value] of Object.entries(given)) {
      if (value !== undefined && !skipped.has(name)) (init as Record<string, unknown>)[name] = value
    }
  }
  if (typeof init.cache === 'boolean') {
    throw new TypeError('`cache` is an option of `fetch`; the boolean is `share` now')
  }
  if (init.method!.toUpperCase() === 'GET') init.cache ??= 'no-store'
  return {
    url: new URL(from, base()).href,
    init,
    headers: options.headers ?? nested.headers,
    signal: options.signal ?? nested.signal ?? undefined,
  }
}

function base(): string | undefined {
  return (globalThis.document?.baseURI ?? globalThis.location?.href) || undefined
}
