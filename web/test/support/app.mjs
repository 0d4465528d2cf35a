import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { repository, web } from './paths.mjs'
import { run, startProgram } from './program.mjs'

const target = process.env.CARGO_TARGET_DIR ?? join(repository, 'target')
/** Applications are kept here, with what they installed, so that the next run is quick. */
const apps = join(target, 'web-cache')

/** A program that cargo has built. */
export function cargoProgram(name) {
  const path = join(target, 'debug', name)
  if (!existsSync(path)) throw new Error(`there is no ${path}: run \`cargo build -p ${name}\``)
  return path
}

let packed

/** `npm pack`, once for each test file: gives the archive that would be published, with its content's hash in its name. */
export function pack() {
  packed ??= (async () => {
    if (!existsSync(join(web, 'dist/index.js'))) throw new Error('the package is not built: run `cargo xtask web`')
    mkdirSync(apps, { recursive: true })
    const command = ['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', apps]
    const [{ filename }] = JSON.parse(await run(command, { cwd: web }))
    const hash = createHash('sha256').update(readFileSync(join(apps, filename))).digest('hex').slice(0, 16)
    const archive = join(apps, `package-${hash}.tgz`)
    renameSync(join(apps, filename), archive)
    for (const name of readdirSync(apps)) {
      if (name.startsWith('package-') && join(apps, name) !== archive) rmSync(join(apps, name))
    }
    return archive
  })()
  return packed
}

/**
 * What a generator of new applications makes, which npm's registry has: `['create-vite@9.3.0', '--template', 'react-ts']`.
 * Gives the folder.
 */
export async function scaffold([generator, ...options]) {
  const folder = join(apps, 'scaffolds', [generator, ...options].join(' ').replace(/[^\w.@]+/g, '-'))
  if (!existsSync(join(folder, 'app/package.json'))) {
    mkdirSync(folder, { recursive: true })
    await run(['npx', '--yes', generator, ...options], { cwd: folder })
  }
  return join(folder, 'app')
}

/**
 * An application in a folder of its own: its sources are written anew, its packages are installed from npm's registry, and
 * `ssekit` from the archive of `npm pack`, as a dependency unless it is named otherwise.
 *
 * @param {string} name Of its folder.
 * @param {object} app
 * @param {string} [app.from] A folder whose files it has.
 * @param {Record<string, string>} [app.files] Its files, or more files.
 * @param {Record<string, string>} [app.packages] What it needs beside `ssekit`; instead of a `package.json` in `from`.
 * @returns {Promise<App>}
 */
export async function makeApp(name, { from, files = {}, packages = {} }) {
  const app = new App(join(apps, name))
  app.write(from, files, packages)
  await app.install(await pack())
  return app
}

class App {
  constructor(folder) {
    this.folder = folder
  }

  /** Keeps what is installed, and nothing else. */
  write(from, files, packages) {
    mkdirSync(this.folder, { recursive: true })
    for (const name of ['src', 'static', 'build', 'dist', '.svelte-kit']) {
      rmSync(join(this.folder, name), { recursive: true, force: true })
    }
    if (from) cpSync(from, this.folder, { recursive: true, filter: (path) => !UNWANTED.has(relative(from, path)) })
    const all = { ...files }
    if (!from || !existsSync(join(from, 'package.json'))) {
      all['package.json'] = JSON.stringify({ private: true, type: 'module', devDependencies: packages }, null, 2)
    }
    for (const [path, text] of Object.entries(all)) {
      mkdirSync(dirname(join(this.folder, path)), { recursive: true })
      writeFileSync(join(this.folder, path), text)
    }
  }

  async install(archive) {
    const file = join(this.folder, 'package.json')
    const wanted = JSON.parse(readFileSync(file, 'utf8'))
    const kind = wanted.devDependencies?.ssekit ? 'devDependencies' : 'dependencies'
    wanted[kind] = { ...wanted[kind], ssekit: `file:${archive}` }
    const text = JSON.stringify(wanted, null, 2)
    writeFileSync(file, text)
    const stamp = join(this.folder, 'node_modules', 'installed')
    if (existsSync(stamp) && readFileSync(stamp, 'utf8') === text) return
    await run(['npm', 'install', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: this.folder, within: 300_000 })
    writeFileSync(stamp, text)
  }

  /** Runs a program that is installed here, as `npx` does, to its end; gives what it wrote to stdout. */
  run(program, ...options) {
    return run([this.#program(program), ...options], { cwd: this.folder })
  }

  /** Runs a script of a package that is installed here, to its end; gives what it wrote to stdout. */
  node(script, ...options) {
    return run([process.execPath, join(this.folder, 'node_modules', script), ...options], { cwd: this.folder })
  }

  /** Starts a program that is installed here; see `startProgram`. */
  start(command, options) {
    const [program, ...rest] = command
    return startProgram([this.#program(program), ...rest], { cwd: this.folder, ...options })
  }

  #program(name) {
    return join(this.folder, 'node_modules', '.bin', name)
  }
}

/** What somebody who works in such a folder leaves there; and the Rust server of an example. */
const UNWANTED = new Set(['.npmrc', '.svelte-kit', 'build', 'node_modules', 'server'])
