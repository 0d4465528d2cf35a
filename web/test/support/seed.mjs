import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { cache, cacheUrl } from './paths.mjs'

const folder = fileURLToPath(new URL('./seed', import.meta.url))

/** Bundles the client of npm's `sveltekit-sse` as SvelteKit does; gives the address of the module. */
export async function bundleSeedClient() {
  await bundle('client', 'browser')
  return `${cacheUrl}/seed-client.mjs`
}

/** `produce` of npm's `sveltekit-sse`. */
export async function importSeedProduce() {
  await bundle('server', 'node')
  return (await import(`${cache}/seed-server.mjs`)).produce
}

async function bundle(name, platform) {
  install()
  await build({
    entryPoints: [`${folder}/${name}.mjs`],
    outfile: `${cache}/seed-${name}.mjs`,
    bundle: true,
    format: 'esm',
    platform,
    conditions: platform === 'browser' ? ['svelte', 'browser'] : ['svelte'],
    logLevel: 'warning',
  })
}

/** Installs the package the first time. */
function install() {
  const wanted = readFileSync(`${folder}/package-lock.json`, 'utf8')
  const stamp = `${folder}/node_modules/installed`
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: folder, stdio: 'pipe' })
  mkdirSync(`${folder}/node_modules`, { recursive: true })
  writeFileSync(stamp, wanted)
}

/**
 * Serves what a handler answers with, a `Response`, as SvelteKit's server for Node does. It allows every origin.
 *
 * @param {(request: { method: string, url: string, headers: Headers }) => Response} handler
 */
export async function serveResponses(handler) {
  const server = createServer(async (request, response) => {
    const allowed = { 'access-control-allow-origin': '*', 'access-control-allow-headers': 'last-event-id' }
    if (request.method === 'OPTIONS') return response.writeHead(204, allowed).end()
    const answer = handler({ method: request.method, url: request.url, headers: new Headers(request.headers) })
    const reader = answer.body.getReader()
    response.on('close', () => void reader.cancel().catch(() => {}))
    response.writeHead(answer.status, { ...Object.fromEntries(answer.headers), ...allowed })
    response.flushHeaders()
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        if (!response.write(value)) await once(response, 'drain')
      }
      response.end()
    } catch {
      response.destroy()
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
