// Prints what a page loads, minified and gzipped, and fails beyond the limits.
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const dist = join(dirname(fileURLToPath(import.meta.url)), 'dist')

/** Bytes: before the first connection, and everything with WebAssembly; of `ssekit`, and of `ssekit/sveltekit-sse`. */
export const limits = { first: 4_000, all: 35_000, originalFirst: 6_000, originalAll: 36_000 }

/** The files that a file imports statically, itself included. */
async function closure(file, files = new Map()) {
  if (files.has(file)) return files
  const text = await readFile(join(dist, file), 'utf8')
  files.set(file, gzipSync(text, { level: 9 }).length)
  for (const [, imported] of text.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g)) await closure(imported, files)
  return files
}

const sum = (files) => [...files.values()].reduce((sum, size) => sum + size, 0)

/** What is loaded before the first connection, and in all. */
export async function sizes() {
  const first = await closure('index.js')
  const all = await closure('engine.js', new Map(first))
  const single = gzipSync(await readFile(join(dist, 'ssekit.js')), { level: 9 }).length
  const originalFirst = await closure('sveltekit-sse.js')
  const originalAll = sum(await closure('engine.js', new Map(originalFirst)))
  return { first: sum(first), all: sum(all), single, originalFirst: sum(originalFirst), originalAll, files: all }
}

/** The figures that are beyond their limits. */
export const excess = ({ first, all, single, originalFirst, originalAll }) =>
  Object.entries({ first, all, single, originalFirst, originalAll }).filter(
    ([name, size]) => size > (limits[name] ?? limits.all),
  )

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const figures = await sizes()
  const { first, all, single, originalFirst, originalAll, files } = figures
  console.log(`before the first connection  ${first} B of ${limits.first}`)
  console.log(`everything, with WebAssembly ${all} B of ${limits.all}`)
  console.log(`ssekit.js, all in one file   ${single} B`)
  console.log(`ssekit/sveltekit-sse          ${originalFirst} B of ${limits.originalFirst}, ${originalAll} B of ${limits.originalAll} in all`)
  for (const [file, size] of files) console.log(`  ${file} ${size} B`)
  if (excess(figures).length) process.exitCode = 1
}
