import { SourceError } from './errors.js'
import type { Member } from './member.js'
import type { CloseReason, Message, Notice, SourceErrorLike } from './types.js'

/** The content of a notice besides its name. */
export interface NoticeDetail {
  message?: Message
  response?: Response | undefined
  error?: SourceErrorLike | undefined
  reason?: CloseReason
}

type Kind = 'open' | 'close' | 'error' | 'message'

/**
 * Calls a source's callbacks: those of the nested form first, as sveltekit-sse does.
 *
 * A thrown value is reported, and given to `onerror` unless that has thrown it.
 */
export function callBack(member: Member, kind: Kind, detail: NoticeDetail): void {
  const { options } = member
  const nested = options.options
  const notice = () => noticeOf(member, kind, detail)
  const calls: [((it: any) => void) | undefined, () => unknown][] = [
    [nested?.[`on${kind}`], () => legacyArgument(kind, detail)],
    [kind === 'message' ? undefined : options[kind], notice],
    [options[`on${kind}`], notice],
  ]
  for (const [callback, argument] of calls) {
    if (typeof callback !== 'function') continue
    try {
      callback(argument())
    } catch (error) {
      reportThrown(member, error, kind === 'error')
    }
  }
}

/** Whether a source has a callback for every event. */
export function wantsMessages({ options }: Member): boolean {
  return !!(options.onmessage || options.options?.onmessage)
}

/** Reports a value that a callback or subscriber has thrown, and gives it to `onerror`. */
export function reportThrown(member: Member, cause: unknown, quiet = false): void {
  if (typeof reportError === 'function') reportError(cause)
  else console.error(cause)
  if (quiet) return
  const error = new SourceError('callback', 'a callback or subscriber has thrown', { cause })
  callBack(member, 'error', { error })
}

/** Whether it was closed here. */
export function isLocal(reason: CloseReason | undefined): boolean {
  return reason === 'local' || reason === 'unsubscribed'
}

/** The error that ends iterators: that of a close that is a failure. */
export function failureOf(
  reason: CloseReason | undefined,
  error: SourceErrorLike | undefined,
): SourceErrorLike | undefined {
  return reason === 'failed' || reason === 'gave-up' || reason === 'not-repeated' ? error : undefined
}

/** The argument of the nested callbacks of 0.14. */
function legacyArgument(kind: Kind, { message, response, error }: NoticeDetail): unknown {
  return kind === 'message' ? message : kind === 'open' ? response : error
}

function noticeOf(member: Member, kind: Kind, detail: NoticeDetail): Notice {
  const { message, response, error, reason } = detail
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
