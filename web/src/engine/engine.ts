/** What loads with the first connection. */
import { SourceError } from '../errors.js'
import type { Engine, Member } from '../member.js'
import type { SourceErrorCode } from '../types.js'
import { Connection, type Plan } from './connection.js'
import { loadCore, type Core } from './core.js'
import { asked, settings, type Asked, type Settings } from './settings.js'
import { keyOf, tabsKeyOf } from './sharing.js'
import { canShareTabs, TabConnection } from './tabs.js'

/** The open connections that sources share. */
const connections = new Map<string, Connection | TabConnection>()

/** @throws SourceError `wasm` where WebAssembly is not allowed */
export async function load(): Promise<Engine> {
  const core = await loadCore()
  return { join: (member) => join(core, member) }
}

function join(core: Core, member: Member): void {
  const { options } = member
  const request = guard('url', () => asked(member.from, options))
  const numbers = guard('url', () => settings(options, request.init))
  if (request.signal?.aborted) return member.closedAlone({ state: 'closed', reason: 'local' })
  guard('headers', () => typeof request.headers === 'function' || new Headers(request.headers))
  guard('url', () => checkRequest(request))
  const key = keyOf(options, request, numbers)
  let connection = key === undefined ? undefined : connections.get(key)
  if (!connection) {
    connection = guard('last-event-id', () => connect(core, member, request, numbers, key))
    if (key !== undefined) connections.set(key, connection)
  }
  connection.join(member)
}

function connect(
  core: Core,
  member: Member,
  request: Asked,
  numbers: Settings,
  key: string | undefined,
): Connection | TabConnection {
  const plan: Plan = {
    asked: request,
    settings: numbers,
    lastEventId: member.lastEventId,
    fetch: member.options.fetch ?? ((...request) => fetch(...request)),
    onGone: () => key !== undefined && connections.delete(key),
  }
  const { tabs, share } = member.options
  if (!tabs || share === false || !canShareTabs()) return new Connection(core, plan)
  const name = key === undefined ? undefined : tabsKeyOf(member.options, request, numbers)
  if (name) return new TabConnection(core, plan, name)
  console.warn(`ssekit: tabs do not share ${request.url}: without a \`key\`, nothing proves that they have the same rights`)
  return new Connection(core, plan)
}

/** Throws what `fetch` would throw each time. */
function checkRequest({ url, init }: Asked): void {
  // A stream can be given to one request only.
  if (!(init.body instanceof ReadableStream)) new Request(url, init)
}

function guard<T>(code: SourceErrorCode, run: () => T): T {
  try {
    return run()
  } catch (cause) {
    throw new SourceError(code, `the source cannot be opened: ${(cause as Error).message}`, { cause })
  }
}
