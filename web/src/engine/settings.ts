import type { ReconnectOptions, RequestOptions, SourceOptions } from '../types.js'

/** The numbers of `Settings` in web/wasm, in its order; -1 for what is not set. */
export type Settings = readonly number[]

/** Where some of them stand. */
export const Setting = { readTimeout: 9, maxEventBytes: 10, pausesHidden: 11 } as const

const presets = ['resilient', 'standard', 'never']
const afterEnds = ['always', 'asked', 'never']

/** @throws TypeError for a word that is none */
export function settings(options: SourceOptions): Settings {
  const given = options.reconnect ?? {}
  const policy: ReconnectOptions = typeof given === 'string' ? { preset: given } : given
  const preset = policy.preset ?? 'resilient'
  const afterEnd = policy.afterEnd ?? (preset === 'standard' ? 'always' : 'asked')
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
  ]
}

function word(words: string[], given: string, option: string): number {
  const number = words.indexOf(given)
  if (number < 0) throw new TypeError(`\`${option}\` is one of ${words.join(', ')}, not "${given}"`)
  return number
}

/** Options that are not for `fetch`. */
const own = new Set([
  'options', 'fetch', 'cache', 'reconnect', 'connectTimeout', 'readTimeout', 'lastEventId', 'maxEventBytes', 'buffer', 'tabs',
  'open', 'onopen', 'close', 'onclose', 'error', 'onerror', 'onmessage', 'openWhenHidden', 'signal', 'headers',
])
const ownNested = new Set(['onopen', 'onmessage', 'onclose', 'onerror', 'openWhenHidden', 'signal', 'headers'])

/** What is asked: the flat options over the nested ones. */
export interface Asked {
  url: string
  /** For `fetch`, without headers and signal. */
  init: RequestInit
  headers: RequestOptions['headers']
  signal: AbortSignal | undefined
}

/** @throws TypeError when the URL is none */
export function asked(from: string | URL, options: SourceOptions): Asked {
  const nested = options.options ?? {}
  const init: RequestInit = { method: 'POST' }
  for (const [given, skipped] of [[nested, ownNested], [options, own]] as const) {
    for (const [name, value] of Object.entries(given)) {
      if (value !== undefined && !skipped.has(name)) (init as Record<string, unknown>)[name] = value
    }
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

let identities: WeakMap<object, number> | undefined
let lastIdentity = 0

/** A number of its own for each object. */
function identity(object: object): number {
  identities ??= new WeakMap()
  let number = identities.get(object)
  if (!number) identities.set(object, (number = ++lastIdentity))
  return number
}

/** What of a value makes two requests the same: its content where that can be read, else which one it is. */
function content(value: unknown): unknown {
  if (value instanceof URLSearchParams) return ['params', `${value}`]
  if (value instanceof ArrayBuffer) return ['bytes', [...new Uint8Array(value)]]
  if (ArrayBuffer.isView(value)) return ['bytes', [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)]]
  if (typeof value === 'function' || (typeof value === 'object' && value)) return ['object', identity(value)]
  return value
}

/** The members of a request, in whatever order they were given. */
function membersOf(init: RequestInit): (readonly [name: string, content: unknown])[] {
  const members = Object.entries(init).map(([name, value]) => [name, content(value)] as const)
  return members.sort(([a], [b]) => (a < b ? -1 : 1))
}

/** The key by which tabs find each other; undefined when the request cannot be told from another one's in another tab. */
export function tabsKeyOf(options: SourceOptions, { url, init, headers }: Asked, numbers: Settings): string | undefined {
  const members = membersOf(init)
  if (members.some(([, value]) => Array.isArray(value) && value[0] === 'object') || options.fetch) return undefined
  const sent = typeof headers === 'function' ? 'function' : [...new Headers(headers)]
  return `ssekit:${JSON.stringify([url, members, sent, numbers.map(String)])}`
}

/** The key by which sources find the connection of the same request; undefined for one of its own. */
export function keyOf(options: SourceOptions, { url, init, headers, signal }: Asked, numbers: Settings): string | undefined {
  if (options.cache === false || typeof headers === 'function') return undefined
  return JSON.stringify([
    url,
    membersOf(init),
    [...new Headers(headers)],
    options.lastEventId ?? '',
    numbers.map(String),
    !!options.tabs,
    content(signal),
    content(options.fetch),
  ])
}
