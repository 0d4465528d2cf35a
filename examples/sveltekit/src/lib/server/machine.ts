import { cpus, freemem, totalmem } from 'node:os'
import type { Stats } from '$lib/events'

type Emit = (event: string, data: string) => unknown

const listeners = new Set<Emit>()
/** The last minute, for new pages. */
let past: Stats[] = []
let timer: ReturnType<typeof setInterval> | undefined
let before = { idle: 0, total: 0 }

/** Emits the machine's figures every second, until the function that it returns is called. */
export function listen(emit: Emit): () => void {
  for (const stats of past) emit('stats', JSON.stringify(stats))
  listeners.add(emit)
  timer ??= start()
  return () => {
    listeners.delete(emit)
    if (listeners.size > 0) return
    clearInterval(timer)
    timer = undefined
  }
}

function start() {
  read() // the time while nobody listened belongs to no figure
  return setInterval(measure, 1000)
}

function measure() {
  const stats = read()
  past = past.filter(({ at }) => at > stats.at - 60_000).concat(stats)
  for (const emit of listeners) emit('stats', JSON.stringify(stats))
}

function read(): Stats {
  const times = cpus().map((core) => core.times)
  const idle = times.reduce((sum, time) => sum + time.idle, 0)
  const total = times.reduce((sum, time) => sum + time.user + time.nice + time.sys + time.irq + time.idle, 0)
  const share = 1 - (idle - before.idle) / Math.max(1, total - before.total)
  before = { idle, total }
  const memory = { used: totalmem() - freemem(), total: totalmem() }
  return { at: Date.now(), cpu: Math.round(share * 1000) / 10, memory }
}
