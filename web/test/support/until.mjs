import { setTimeout as pause } from 'node:timers/promises'

/**
 * Waits until the condition holds and gives its value. A condition that throws does not hold yet.
 *
 * @template T
 * @param {() => T | Promise<T>} condition
 * @param {string} what What is waited for, for the error.
 * @param {number} [within] Milliseconds.
 * @returns {Promise<T>}
 */
export async function until(condition, what, within = 15_000) {
  const deadline = performance.now() + within
  for (;;) {
    let last
    try {
      last = await condition()
      if (last) return last
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) {
      throw new Error(`${what}: not within ${within} ms; last seen: ${describe(last)}`)
    }
    await pause(10)
  }
}

function describe(value) {
  return value instanceof Error ? value.message : JSON.stringify(value)
}
