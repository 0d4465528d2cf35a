import type { SourceErrorCode, SourceErrorLike } from './types.js'

/** An error of a connection: `code` is its kind, `message` its text, with a remedy. */
export class SourceError extends Error implements SourceErrorLike {
  override readonly name = 'SourceError'
  declare readonly status?: number
  declare readonly body?: string
  declare readonly retryAfter?: number

  constructor(
    readonly code: SourceErrorCode,
    message: string,
    detail: { cause?: unknown; status?: number; body?: string; retryAfter?: number } = {},
  ) {
    super(message)
    Object.assign(this, detail)
  }
}

/** An error and its causes, as Node has them: `fetch failed`, and its cause. At most four. */
export function causesOf(error: unknown): { message?: string; code?: string }[] {
  const causes: object[] = []
  for (let cause = error; causes.length < 4 && cause != null; cause = (cause as Error).cause) {
    causes.push(Object(cause))
  }
  return causes
}

/**
 * The error of an iterator that was read too slowly, with its number of lost events. It goes on behind them.
 */
export class LaggedError extends Error {
  override readonly name = 'LaggedError'

  constructor(readonly lost: number) {
    super(`${lost} events were not read in time and are lost: read faster, or raise \`buffer\``)
  }
}
