import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { cache, cacheUrl } from './paths.mjs'

const folder = fileURLToPath(new URL('./sveltekit-sse', import.meta.url))

/** Bundles the client of npm's `sveltekit-sse` as SvelteKit does; gives the address of the module. */
export async function bundleOriginalClient() {
  await bundle('client', 'browser')
  return `${cacheUrl}/original-client.mjs`
}

/** Bundles `svelte/store`; gives the address of the module. */
export async function bundleSvelteStores() {
  await bundle('stores', 'browser')
  return `${cacheUrl}/original-stores.mjs`
}

/** `produce` of npm's `sveltekit-sse`. */
export async function importOriginalProduce() {
  await bundle('server', 'node')
  return (await import(`${cache}/original-server.mjs`)).produce
}

async function bundle(name, platform) {
  install()
  await build({
    entryPoints: [`${folder}/${name}.mjs`],
    outfile: `${cache}/original-${name}.mjs`,
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
