import type { SourceErrorCode, SourceErrorLike } from './types.js'

/** What went wrong with a connection. `code` says what, `message` what to do. */
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

/** An error and its causes, which Node keeps apart: `fetch failed`, and why. At most four. */
export function causesOf(error: unknown): { message?: string; code?: string }[] {
  const causes: object[] = []
  for (let cause = error; causes.length < 4 && cause != null; cause = (cause as Error).cause) causes.push(Object(cause))
  return causes
}

/** An iterator was read too slowly: so many events are lost to it. It goes on behind them. */
export class LaggedError extends Error {
  override readonly name = 'LaggedError'

  constructor(readonly lost: number) {
    super(`${lost} events were not read in time and are lost: read faster, or raise \`buffer\``)
  }
}
