// What the page loads: each client alone, as an application would ship it.
import { build } from 'esbuild'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const ours = fileURLToPath(new URL('../../web/dist/index.js', import.meta.url))

/**
 * @param {string[]} clients
 * @returns {Promise<Record<string, string>>} path to text
 */
export async function bundle(clients) {
  if (clients.some((name) => name.startsWith('ssekit')) && !existsSync(ours)) {
    throw new Error(`${ours} is missing: run \`cargo xtask web\`, or leave the clients ssekit-* out with --clients`)
  }
  const { outputFiles } = await build({
    entryPoints: ['page', ...clients].map((name) => `clients/${name}.js`),
    absWorkingDir: here,
    outdir: `${here}clients`,
    write: false,
    bundle: true,
    splitting: true,
    minify: !process.env.READABLE,
    format: 'esm',
    target: 'es2022',
    conditions: ['svelte', 'browser'],
    alias: { ssekit: ours },
  })
  const files = Object.fromEntries(outputFiles.map((file) => [file.path.slice(here.length - 1), file.text]))
  files['/'] = '<!doctype html><meta charset="utf-8"><title>bench</title><script type="module" src="/clients/page.js"></script>'
  return files
}
