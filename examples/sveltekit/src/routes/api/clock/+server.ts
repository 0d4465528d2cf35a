import { setTimeout as delay } from 'node:timers/promises'
import { produce } from 'ssekit'

export function POST() {
  return produce(async function start({ emit }) {
    // An error once the page is gone.
    while (!emit('time', String(Date.now())).error) await delay(1000)
  })
}
