import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { stripVTControlCharacters } from 'node:util'
import { until } from './until.mjs'

/**
 * Starts a program and waits until it prints a line that matches. It ends with the test's process at the latest.
 *
 * @param {string[]} command
 * @param {{ cwd?: string, env?: Record<string, string>, user?: { uid: number, gid: number }, ready?: RegExp }} [options]
 */
export async function startProgram(command, { ready, ...options } = {}) {
  const program = new Program(command, options)
  if (!ready) return program
  try {
    program.ready = await program.line(ready, 60_000)
  } catch (error) {
    await program.kill()
    throw error
  }
  return program
}

/** Runs a program to its end and gives what it wrote to stdout; throws with all that it printed when it fails. */
export async function run(command, { within = 120_000, ...options } = {}) {
  const program = new Program(command, options)
  const code = await program.end(within)
  if (code === 0) return program.output.join('\n')
  throw new Error(`${command.join(' ')} in ${options.cwd ?? '.'} has ended with ${code}:\n${program.text}`)
}

class Program {
  #command
  #child
  #ended
  /** What it has printed, line by line. */
  lines = []
  /** The lines of stdout. */
  output = []
  /** The match of the line for which its start waited. */
  ready = undefined

  constructor(command, { cwd, env, user }) {
    this.#command = command
    const [program, ...options] = command
    this.#child = spawn(program, options, {
      cwd,
      env: { ...process.env, ...env },
      ...user,
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, so that what it starts ends with it.
      detached: true,
    })
    // Without colours, which some programs print wherever the environment says CI.
    createInterface(this.#child.stderr).on('line', (line) => this.lines.push(stripVTControlCharacters(line)))
    createInterface(this.#child.stdout).on('line', (line) => {
      const plain = stripVTControlCharacters(line)
      this.lines.push(plain)
      this.output.push(plain)
    })
    this.#ended = new Promise((ended) => {
      this.#child.on('error', (error) => ended(error.message))
      this.#child.on('close', (code, signal) => ended(code ?? signal))
    })
    void this.#ended.then(() => (this.hasEnded = true))
    process.once('exit', this.#endWithUs)
  }

  hasEnded = false

  get text() {
    return this.lines.join('\n')
  }

  /** Waits for a line that matches, from the `after`th on. */
  async line(pattern, within = 15_000, after = 0) {
    const match = () => this.lines.slice(after).map((line) => pattern.exec(line)).find(Boolean)
    await until(() => match() || this.hasEnded, `a line ${pattern} of ${this.#command.join(' ')}`, within).catch((error) => {
      throw new Error(`${error.message}; it printed:\n${this.text}`)
    })
    if (!match()) throw new Error(`${this.#command.join(' ')} has ended and printed:\n${this.text}`)
    return match()
  }

  /** Waits for its end; gives its exit code, or the name of the signal. */
  async end(within = 15_000) {
    const late = setTimeout(() => this.#signal('SIGKILL'), within)
    const code = await this.#ended
    clearTimeout(late)
    process.removeListener('exit', this.#endWithUs)
    return code
  }

  /** Ends it as an operator does. */
  stop(signal = 'SIGTERM') {
    this.#signal(signal)
    return this.end(5_000)
  }

  /** Ends it as a crash does. */
  kill() {
    this.#signal('SIGKILL')
    return this.end()
  }

  #endWithUs = () => this.#signal('SIGKILL')

  #signal(name) {
    if (this.hasEnded || !this.#child.pid) return
    try {
      process.kill(-this.#child.pid, name)
    } catch {
      // It has just ended.
    }
  }
}

/** A port that nobody listens on. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  // Tests that run at the same time get different ones.
  if (given.has(port)) return freePort()
  given.add(port)
  return port
}

const given = new Set()
