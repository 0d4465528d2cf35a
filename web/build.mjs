// Builds dist/ from src/ and the module of wasm/: `node build.mjs [path of the .wasm]`.
import { execFileSync } from 'node:child_process'
import { copyFile, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const wasm = process.argv[2] ?? process.env.SSEKIT_WASM ?? join(here, '../target/wasm32-unknown-unknown/wasm/ssekit_web.wasm')

/**
 * Gives `ssekit:wasm`, the module's bytes as text: a character for each byte, XOR 119, with which most of them are ASCII and
 * few need a backslash. It is a quarter smaller, gzipped, than base64.
 */
const inlineWasm = {
  name: 'inline-wasm',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^ssekit:wasm$/ }, () => ({ path: wasm, namespace: 'wasm' }))
    onLoad({ filter: /.*/, namespace: 'wasm' }, async ({ path }) => {
      const bytes = await readFile(path)
      const text = String.fromCharCode(...[...bytes].map((byte) => byte ^ 119))
      return { contents: `export default ${JSON.stringify(text)}`, loader: 'js' }
    })
  },
}

/** Where no module may be compiled at run time it is a file of its own, which the platform has compiled. */
const importWasm = {
  name: 'import-wasm',
  setup({ onResolve }) {
    onResolve({ filter: /^ssekit:wasm$/ }, () => ({ path: './ssekit.wasm', external: true }))
  },
}

/** One file loads nothing later. */
const eager = {
  name: 'eager',
  setup({ onResolve }) {
    onResolve({ filter: /\/lazy\.js$/ }, () => ({ path: join(here, 'src/eager.ts') }))
  },
}

/** Members between our modules, which no page, browser, other tab or enum names: they are shortened. */
const internal = [
  'announce', 'answered', 'bytes', 'changes', 'closedAlone', 'core', 'deadline', 'deliver', 'delivering',
  'drop', 'effects', 'feed', 'free', 'isAbandoned', 'isReading', 'isWanted', 'iterate', 'joined', 'left',
  'listen', 'notify', 'notifyError', 'numbers', 'onGone', 'onMessage', 'output', 'plan', 'received',
  'refreshViews', 'reopen', 'reportThrown', 'setStatus', 'settings', 'spec', 'take', 'textAt', 'unanswered',
  'unused', 'used', 'writeTexts',
]

const common = {
  absWorkingDir: here,
  bundle: true,
  charset: 'utf8',
  external: ['react'],
  format: 'esm',
  legalComments: 'none',
  logLevel: 'warning',
  mangleProps: new RegExp(`^(${internal.join('|')})$`),
  minify: true,
  outdir: 'dist',
  plugins: [inlineWasm],
  target: 'es2022',
}

await rm(join(here, 'dist'), { recursive: true, force: true })
await build({
  ...common,
  // A page loads `index` or `sveltekit-sse` at once, and `engine` with its first connection.
  entryPoints: {
    index: 'src/index.ts',
    'sveltekit-sse': 'src/sveltekit-sse.ts',
    engine: 'src/engine/engine.ts',
    // Apart from the code, both compress better.
    wasm: 'ssekit:wasm',
    react: 'src/react.ts',
  },
  external: ['react', './producer.js'],
  splitting: true,
  chunkNames: 'shared-[hash]',
})
// Modules for servers: `producing` loads with the first response. Its copy of shared code keeps the pages' files few.
await build({ ...common, entryPoints: { node: 'src/node.ts', producer: 'src/producer.ts' } })
// The same for Cloudflare's workers.
for (const [name, entry] of [['workerd', 'index'], ['workerd-sveltekit-sse', 'sveltekit-sse']]) {
  await build({ ...common, entryPoints: { [name]: `src/${entry}.ts` }, plugins: [importWasm, eager] })
}
await copyFile(wasm, join(here, 'dist/ssekit.wasm'))
// The client in one file, for pages without a build step.
const { outdir, ...inOneFile } = common
await build({
  ...inOneFile,
  // The module's text in front of the code: in its midst, both would compress less.
  stdin: { contents: "import 'ssekit:wasm'; export * from './src/single.ts'", resolveDir: here },
  outfile: `${outdir}/ssekit.js`,
  plugins: [inlineWasm, eager],
})
const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'))
execFileSync(process.execPath, [join(typescript, 'bin/tsc'), '--emitDeclarationOnly'], { cwd: here, stdio: 'inherit' })
