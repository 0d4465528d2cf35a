// Prints what a page loads, minified and gzipped, and fails beyond the limits.
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const dist = join(dirname(fileURLToPath(import.meta.url)), 'dist')

/** Bytes: before the first connection, and everything with WebAssembly. */
export const limits = { first: 4_000, all: 35_000 }

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
  return { first: sum(first), all: sum(all), single, files: all }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { first, all, single, files } = await sizes()
  console.log(`before the first connection  ${first} B of ${limits.first}`)
  console.log(`everything, with WebAssembly ${all} B of ${limits.all}`)
  console.log(`ssekit.js, all in one file   ${single} B`)
  for (const [file, size] of files) console.log(`  ${file} ${size} B`)
  if (first > limits.first || all > limits.all || single > limits.all) process.exitCode = 1
}
