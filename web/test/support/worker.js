// A worker of any kind that opens sources for a page: it is sent `{ module, from, options }`, and sends what it notes.
import { notes, watch } from './page.js'

async function listen({ module, from, options }, port) {
  const push = notes.push.bind(notes)
  notes.push = (...added) => {
    added.forEach((note) => port.postMessage(note))
    return push(...added)
  }
  try {
    const ssekit = await load(module)
    const { source } = watch(ssekit, from, options)
    port.addEventListener('message', ({ data }) => data === 'close' && source.close())
  } catch (error) {
    port.postMessage(['failed', String(error)])
  }
}

// Service workers may import nothing later on: they have it imported by the worker's own module.
const load = async (module) => globalThis.ssekit ?? import(module)

/** The page's first message says what to listen to. */
function serve(port) {
  port.addEventListener('message', ({ data }) => void listen(data, port), { once: true })
  port.start?.()
}

if ('onconnect' in globalThis) globalThis.onconnect = ({ ports: [port] }) => serve(port)
else if ('registration' in globalThis) globalThis.onmessage = ({ ports: [port] }) => serve(port)
else serve(globalThis)
