import { begin, event } from './site.mjs'
import { until } from './until.mjs'

/** Answers with `the time is …`, ten times a second, as the `/custom-event` of the README does once a second. */
export function clock(_request, response) {
  begin(response)
  let id = 0
  const tick = () => response.write(event({ id: ++id, event: 'message', data: `the time is ${Date.now()}` }))
  tick()
  const timer = setInterval(tick, 100)
  response.on('close', () => clearInterval(timer))
}

/** Waits until a page shows the time, and then a later one. */
export async function untilItTicks(page, pattern = /the time is \d{13}/i) {
  const shown = async () => pattern.exec(await page.innerText('body'))?.[0]
  const first = await until(shown, `${pattern} on ${page.url()}`)
  await until(async () => ![undefined, first].includes(await shown()), `another time than ${first} on ${page.url()}`)
}
