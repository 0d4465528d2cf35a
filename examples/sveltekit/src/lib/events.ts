// What the events carry, whichever server sends them.

/** The data of a `stats` event. */
export interface Stats {
  /** In milliseconds since 1970. */
  at: number
  /** In percent of all cores. */
  cpu: number
  /** In bytes. */
  memory: { used: number; total: number }
}

/** The data of a `people` event: who is in the room, and who waits before it, the next one first. */
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
