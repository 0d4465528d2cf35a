import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

export const web = join(dirname(fileURLToPath(import.meta.url)), '../..')

/** A module of src/ that needs no WebAssembly, compiled. */
export async function load(path) {
  const { outputFiles } = await build({
    absWorkingDir: web,
    entryPoints: [`src/${path}`],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  })
  return import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`)
}

/** Waits for a condition; fails after ten seconds. */
export async function until(condition, what = String(condition)) {
  for (const end = Date.now() + 10_000; ; ) {
    const value = await condition()
    if (value) return value
    if (Date.now() > end) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** When all that follows from what has happened has happened: nothing here waits for more than turns of the event loop. */
export async function settled() {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
}

const encoder = new TextEncoder()

/** An answer of a scripted server: its stream is written by the test. */
export class Answer {
  #controller
  /** The client has left. */
  cancelled = false

  constructor(request, init = {}) {
    this.request = request
    const body = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
      cancel: () => void (this.cancelled = true),
    })
    request.init.signal?.addEventListener('abort', () => {
      this.cancelled = true
      this.fail(new DOMException('aborted', 'AbortError'))
    })
    const { status = 200, headers = { 'content-type': 'text/event-stream' } } = init
    this.response = new Response(status === 204 ? null : body, { ...init, status, headers })
  }

  write(piece) {
    this.#controller.enqueue(typeof piece === 'string' ? encoder.encode(piece) : piece)
    return this
  }

  end() {
    this.#controller.close()
    return this
  }

  fail(error = new TypeError('network error')) {
    try {
      this.#controller.error(error)
    } catch {
      // It has ended already.
    }
    return this
  }
}

/** A server for the option `fetch`: each request waits in `requests` for what the test answers. */
export class Server {
  requests = []
  fetch = (url, init) =>
    new Promise((resolve, reject) => {
      const request = {
        url,
        init,
        headers: new Headers(init.headers),
        answer: (with_) => {
          const answer = new Answer(request, with_)
          resolve(answer.response)
          return answer
        },
        refuse: (error = new TypeError('connection refused')) => reject(error),
      }
      init.signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')))
      this.requests.push(request)
    })

  /** The request of this number, when it has come. */
  request(number = 0) {
    return until(() => this.requests[number], `request ${number}`)
  }

  /** A stream that answers it. */
  async stream(number = 0) {
    return (await this.request(number)).answer()
  }
}
