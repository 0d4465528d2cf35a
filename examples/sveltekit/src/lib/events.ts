// The events, whichever server sends them.

import { source } from 'ssekit'

const limits = { readTimeout: 5_000, reconnect: { maxDelay: 5_000 } }

/**
 * `time`, in milliseconds since 1970, and `stats`. Sources of the same request share a connection; by `tabs`,
 * those of all tabs do: browsers open six of them to a server at once, unless it speaks HTTP/2. Five seconds
 * of silence mean that the connection is dead, whatever the proxies between say.
 */
export const machine = () => source('/api/machine', { tabs: true, key: 'machine', ...limits })

/** The data of a `stats` event. */
export interface Stats {
  /** In milliseconds since 1970. */
  at: number
  /** In percent of all cores. */
  cpu: number
  /** In bytes. */
  memory: { used: number; total: number }
}

/** The data of a `people` event: the names in the room, and those that wait, the next one first. */
export interface People {
  seats: number
  inside: string[]
  waiting: string[]
}

/** The data of a `said` event; `history` has many. */
export interface Said {
  from: string
  text: string
  /** In milliseconds since 1970. */
  at: number
}
