import { setTimeout as delay } from 'node:timers/promises'
import { produce } from 'ssekit'
import { listen } from '$lib/server/machine'

/** `time` and `stats`, each every second. */
export function POST() {
  return produce(async function start({ emit }) {
    const leave = listen(emit)
    // Emit answers with an error once the page is gone.
    while (!emit('time', String(Date.now())).error) await delay(1000)
    return leave
  })
}
