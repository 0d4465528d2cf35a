import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findChromium } from './chromium.mjs'
import { until } from './until.mjs'

/**
 * Starts a Chromium that is spoken to in the DevTools protocol itself, for what Playwright does not allow: it keeps each
 * page in the foreground, where none is ever frozen. Its pages have Playwright's `evaluate`, and share a profile.
 */
export async function startDevTools() {
  const profile = await mkdtemp(join(tmpdir(), 'ssekit-chromium-'))
  const options = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run']
  const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync']
  const child = spawn(
    findChromium(),
    [...options, ...quiet, '--disable-dev-shm-usage', '--remote-debugging-pipe', `--user-data-dir=${profile}`],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
  )
  return new DevTools(child, profile)
}

class DevTools {
  #child
  #profile
  #last = 0
  #waiting = new Map()

  constructor(child, profile) {
    this.#child = child
    this.#profile = profile
    let text = ''
    child.stdio[4].setEncoding('utf8').on('data', (piece) => {
      const messages = (text + piece).split('\0')
      text = messages.pop()
      messages.forEach((message) => this.#receive(JSON.parse(message)))
    })
    child.stdio[3].on('error', () => {})
  }

  #receive({ id, result, error }) {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error) waiting?.reject(new Error(error.message))
    else waiting?.resolve(result)
  }

  /** Sends a command; gives its result. */
  send(method, params = {}, sessionId = undefined) {
    const id = ++this.#last
    this.#child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
  }

  /** Opens a page, and waits until it is there. */
  async open(url) {
    const { targetId } = await this.send('Target.createTarget', { url })
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true })
    const page = new Page(this, sessionId)
    await until(() => page.evaluate((url) => location.href === url && document.readyState === 'complete', url), `${url} is open`)
    return page
  }

  async close() {
    this.#child.kill()
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 10 })
  }
}

class Page {
  #browser
  #session

  constructor(browser, session) {
    this.#browser = browser
    this.#session = session
  }

  /** Runs a function in the page with an argument; gives its result, which JSON can hold. */
  async evaluate(script, argument) {
    const expression = `(${script})(${argument === undefined ? '' : JSON.stringify(argument)})`
    const options = { expression, awaitPromise: true, returnByValue: true }
    const { result, exceptionDetails } = await this.#browser.send('Runtime.evaluate', options, this.#session)
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    return result.value
  }

  /** Hides the page and freezes it, as a browser does to save memory. */
  freeze() {
    return this.#browser.send('Page.setWebLifecycleState', { state: 'frozen' }, this.#session)
  }

  thaw() {
    return this.#browser.send('Page.setWebLifecycleState', { state: 'active' }, this.#session)
  }
}
