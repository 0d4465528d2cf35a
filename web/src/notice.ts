import { SourceError } from './errors.js'
import type { Member } from './member.js'
import type { CloseReason, Message, Notice, SourceErrorLike } from './types.js'

/** What a notice tells besides its name. */
export interface Told {
  message?: Message
  response?: Response | undefined
  error?: SourceErrorLike | undefined
  reason?: CloseReason
}

type Kind = 'open' | 'close' | 'error' | 'message'

/**
 * Calls a source's callbacks: those of the nested form first, as sveltekit-sse does.
 *
 * What one throws is reported, and told to `onerror` unless that has thrown.
 */
export function tell(member: Member, kind: Kind, told: Told): void {
  const { options } = member
  const nested = options.options
  const notice = () => noticeOf(member, kind, told)
  const calls: [((it: any) => void) | undefined, () => unknown][] = [
    [nested?.[`on${kind}`], () => raw(kind, told)],
    [kind === 'message' ? undefined : options[kind], notice],
    [options[`on${kind}`], notice],
  ]
  for (const [callback, argument] of calls) {
    if (typeof callback !== 'function') continue
    try {
      callback(argument())
    } catch (error) {
      thrown(member, error, kind === 'error')
    }
  }
}

/** Whether a source wants to be told of every event. */
export function hearsMessages({ options }: Member): boolean {
  return !!(options.onmessage || options.options?.onmessage)
}

/** Reports what something of the user's has thrown, and tells the source. */
export function thrown(member: Member, cause: unknown, quiet = false): void {
  if (typeof reportError === 'function') reportError(cause)
  else console.error(cause)
  if (!quiet) tell(member, 'error', { error: new SourceError('callback', 'a callback or subscriber has thrown', { cause }) })
}

/** Whether it was closed here. */
export function isLocal(reason: CloseReason | undefined): boolean {
  return reason === 'local' || reason === 'unsubscribed'
}

/** What iterators end with: the error of a close that is a failure. */
export function failureOf(reason: CloseReason | undefined, error: SourceErrorLike | undefined): SourceErrorLike | undefined {
  return reason === 'failed' || reason === 'gave-up' || reason === 'not-repeated' ? error : undefined
}

/** What the nested callbacks of 0.14 get. */
function raw(kind: Kind, { message, response, error }: Told): unknown {
  return kind === 'message' ? message : kind === 'open' ? response : error
}

function noticeOf(member: Member, kind: Kind, told: Told): Notice {
  const { message, response, error, reason } = told
  const event = message?.event ?? kind
  return {
    id: message?.id ?? '',
    event,
    name: event,
    data: message?.data ?? '',
    isLocal: isLocal(reason),
    status: (response ?? member.unanswered).status,
    statusText: (response ?? member.unanswered).statusText,
    headers: response?.headers ?? new Headers(),
    ...(response && { response }),
    ...(error && { error }),
    ...(reason && { reason }),
    connect: () => member.reconnect(),
    close: () => member.close(),
  }
}
