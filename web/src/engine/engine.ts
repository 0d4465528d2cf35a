/** The module that is loaded with the first connection. */
import { SourceError } from '../errors.js'
import type { Member } from '../member.js'
import type { SourceErrorCode } from '../types.js'
import { Connection, type Plan } from './connection.js'
import { loadCore, type Core } from './core.js'
import { requestSpec, settings } from './settings.js'
import { keyOf, tabsKeyOf } from './sharing.js'
import { canShareTabs, TabConnection } from './tabs.js'

/** The open connections that sources share. */
const connections = new Map<string | undefined, Connection | TabConnection>()

let tabsCanShare: Promise<boolean> | undefined

/**
 * Loads the module for a source's connection. From the second call on it takes only microtasks.
 *
 * @returns a function that opens the connection or joins one of the same request, or throws a SourceError
 * @throws SourceError `wasm` where WebAssembly is not allowed
 */
export async function prepare(member: Member): Promise<() => void> {
  const { tabs, share } = member.options
  const core = await loadCore()
  const isForTabs = tabs && share !== false && (await (tabsCanShare ??= canShareTabs()))
  return () => join(core, member, isForTabs)
}

function join(core: Core, member: Member, isForTabs: boolean | undefined): void {
  const { lastEventId, options } = member
  const [request, numbers] = guard('url', () => {
    const request = requestSpec(member.from, options)
    // Throws as `fetch` would each time. A stream can be given to one request only.
    if (!(request.init.body instanceof ReadableStream)) new Request(request.url, request.init)
    return [request, settings(options, request.init)] as const
  })
  if (request.signal?.aborted) return member.closedAlone({ state: 'closed', reason: 'local' })
  guard('headers', () => typeof request.headers === 'function' || new Headers(request.headers))
  guard('last-event-id', () => {
    if (/[\0\r\n]/.test(lastEventId)) throw new RangeError('the last event ID holds a line end or NUL')
  })
  const key = keyOf(options, request, numbers)
  let connection = connections.get(key)
  if (!connection) {
    const plan: Plan = {
      spec: request,
      settings: numbers,
      lastEventId,
      fetch: options.fetch ?? ((...request) => fetch(...request)),
      onGone: () => connections.delete(key),
    }
    const name = isForTabs && key !== undefined && tabsKeyOf(options, request, numbers)
    if (isForTabs && !name) {
      const reason = 'without a `key`, nothing proves that they have the same rights'
      console.warn(`ssekit: tabs do not share ${request.url}: ${reason}`)
    }
    connection = name ? new TabConnection(core, plan, name) : new Connection(core, plan)
    if (key !== undefined) connections.set(key, connection)
  }
  connection.join(member)
}

function guard<T>(code: SourceErrorCode, run: () => T): T {
  try {
    return run()
  } catch (cause) {
    throw new SourceError(code, `the source cannot be opened: ${(cause as Error).message}`, { cause })
  }
}
