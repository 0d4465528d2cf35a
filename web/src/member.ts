import type { Closed, Message, SourceErrorLike, SourceOptions, Status } from './types.js'

/** A source, as the engine sees it. */
export interface Member {
  readonly from: string | URL
  readonly options: SourceOptions
  /** The status that its notices have without a response. */
  readonly unanswered: { readonly status: number; readonly statusText: string }
  /** The id of its last event, or of a block without data after that. */
  lastEventId: string
  /** Whether it has subscribers, or `connect` was called. */
  isWanted(): boolean
  /** Gives an event to its stores and iterators; true when an iterator is full. */
  take(message: Message): boolean
  /** Whether a full iterator has been read since this was last asked. */
  isReading(): boolean
  setStatus(status: Status): void
  /** It has a connection. */
  joined(link: Link): void
  /** The connection is gone, after its callbacks: iterators end. */
  left(error?: SourceErrorLike): void
  /** It closes while others stay, or before it has a connection: sets its status, and calls its callbacks. */
  closedAlone(status: Closed, response?: Response): void
  /** Opens the connection again, if it is still wanted. */
  reconnect(): void
  /** Does that after so many milliseconds, unless it is opened or closed before. */
  reopen(delay: number): void
  close(): void
}

/** A connection, as one of its sources sees it. */
export interface Link {
  /** The source has no subscriber: it leaves, unless it has one again in the next turn of the event loop. */
  leave(member: Member): void
  /**
   * Connects now, also if the policy would wait.
   *
   * @param isLater while the connection closes: opens it again for this source after the policy's delay
   */
  connect(member: Member, isLater?: boolean): void
  restart(): void
  close(): void
}
