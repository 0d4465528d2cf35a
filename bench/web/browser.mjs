// Chromium, spoken to over a pipe. No library between: Playwright turns on the network's events, which the page's main
// thread would send for each piece that it reads.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-extensions', '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows', '--remote-debugging-pipe',
]

/** Starts Chromium. */
export async function launch() {
  const path = process.env.CHROMIUM ?? '/usr/bin/chromium'
  const profile = await mkdtemp(join(tmpdir(), 'ssekit-bench-'))
  const process_ = spawn(path, [...flags, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  })
  await Promise.race([
    once(process_, 'spawn'),
    once(process_, 'error').then(([error]) => {
      throw new Error(`${path} does not start: ${error.message}; set CHROMIUM to the browser's path`)
    }),
  ])
  return new Browser(process_, profile)
}

export class Browser {
  #process
  #profile
  #waiting = new Map()
  #once = new Map()
  #next = 1

  constructor(process_, profile) {
    this.#process = process_
    this.#profile = profile
    let text = ''
    process_.stdio[4].setEncoding('utf8').on('data', (piece) => {
      const messages = (text + piece).split('\0')
      text = messages.pop()
      for (const message of messages) this.#receive(JSON.parse(message))
    })
    process_.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('Chromium has ended'))
    })
  }

  #receive({ id, method, sessionId, result, error }) {
    if (id === undefined) return this.#once.get(`${sessionId} ${method}`)?.()
    const { resolve, reject, what } = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error) reject(new Error(`${what}: ${error.message}`))
    else resolve(result)
  }

  /** Sends a command of the DevTools protocol, at most 60 s long. */
  send(method, params = {}, sessionId = undefined) {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method} has not been answered within 60 s`)), 60_000)
      const settled = (settle) => (value) => (clearTimeout(late), settle(value))
      this.#waiting.set(id, { resolve: settled(resolve), reject: settled(reject), what: method })
      this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    })
  }

  /** Resolves at the next event of that name. */
  event(method, sessionId) {
    return new Promise((resolve) => this.#once.set(`${sessionId} ${method}`, resolve))
  }

  /** Opens a page in a process of its own. */
  async open(url) {
    const { browserContextId } = await this.send('Target.createBrowserContext')
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank', browserContextId })
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true })
    const page = new Page(this, sessionId, browserContextId)
    await page.send('Page.enable')
    const loaded = this.event('Page.loadEventFired', sessionId)
    await page.send('Page.navigate', { url })
    await loaded
    await page.send('Page.disable')
    await page.send('Performance.enable', { timeDomain: 'threadTicks' })
    return page
  }

  async version() {
    return (await this.send('Browser.getVersion')).product.replace('HeadlessChrome', 'Chromium').replace('Chrome/', 'Chromium ')
  }

  async close() {
    const ended = once(this.#process, 'exit')
    await this.send('Browser.close')
    await ended
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

class Page {
  #browser
  #session
  #context

  constructor(browser, session, context) {
    this.#browser = browser
    this.#session = session
    this.#context = context
  }

  send(method, params) {
    return this.#browser.send(method, params, this.#session)
  }

  /** The value of an expression, once its promise is kept. */
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    return result.value
  }

  /** Processor time of the main thread so far, in seconds: what others run on this machine is not in it. */
  async mainThread() {
    const { metrics } = await this.send('Performance.getMetrics')
    return metrics.find(({ name }) => name === 'ThreadTime').value
  }

  async close() {
    await this.#browser.send('Target.disposeBrowserContext', { browserContextId: this.#context })
  }
}
