import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { repository, web } from './paths.mjs'
import { until } from './until.mjs'

/**
 * Starts the Rust server of `tests/web`, which also serves the files of `web/`.
 *
 * @param {{ log?: string }} [options] `log`: a file in which its channel survives a restart.
 */
export async function startFixture({ log } = {}) {
  const fixture = new Fixture(log)
  await fixture.start()
  return fixture
}

class Fixture {
  #log
  #process
  port = 0

  constructor(log) {
    this.#log = log
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  /** Starts it; after `kill` or `stop` again on the same port. */
  async start() {
    const options = ['--port', `${this.port}`, '--files', web]
    if (this.#log) options.push('--log', this.#log)
    const child = spawn(program(), options, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#process = child
    const line = await Promise.race([
      once(createInterface(child.stdout), 'line'),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`the fixture server has ended with ${code}`))),
    ])
    this.port = Number(new URL(line[0].replace('listening on ', '')).port)
  }

  /** Ends it as a crash does. */
  kill() {
    return this.#end('SIGKILL')
  }

  /** Ends it as an operator does: it ends its streams first. */
  stop() {
    return this.#end('SIGTERM')
  }

  async #end(signal) {
    const child = this.#process
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'exit')
  }

  /** Emits an event on `/channel`; gives its id. */
  async publish(event, data) {
    const response = await fetch(`${this.url}/publish`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ event, data: String(data) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`the event was not published: ${response.status} ${text}`)
    return text
  }

  /** How many streams are `open`, and how many ever were `opened`. */
  async streams() {
    return (await fetch(`${this.url}/streams`)).json()
  }

  /** Waits until so many streams are open. */
  untilOpen(open) {
    return until(async () => (await this.streams()).open === open, `${open} open streams at the server`)
  }

  /** The requests for streams of this path since the server began: `{ method, path, query, headers }`. */
  async requests(path) {
    return (await fetch(`${this.url}/requests?path=${encodeURIComponent(path)}`)).json()
  }
}

function program() {
  const target = process.env.CARGO_TARGET_DIR ?? join(repository, 'target')
  const path = process.env.SSEKIT_FIXTURE ?? join(target, 'debug/ssekit-web-fixture')
  if (!existsSync(path)) {
    throw new Error(`there is no ${path}: run \`cargo build -p ssekit-web-fixture\`, or set SSEKIT_FIXTURE`)
  }
  return path
}
