// An application as `npm create vite` makes it, with the README's lines: a page, and a worker.

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { makeApp, scaffold } from '../support/app.mjs'
import { inChromium } from '../support/browser.mjs'
import { clock, untilItTicks } from '../support/clock.mjs'
import { freePort } from '../support/program.mjs'
import { sample } from '../support/samples.mjs'

const NEW = ['create-vite@9.3.0', 'app', '--template', 'vanilla-ts', '--no-interactive']
const CONFIG = `
const proxy = { '/custom-event': process.env.EVENTS }
export default { server: { proxy }, preview: { proxy } }
`

const it = inChromium()
let app

before(async () => {
  app = await makeApp('vite', { from: await scaffold(NEW), files: { 'vite.config.js': CONFIG } })
})

const write = (name, text) => writeFileSync(join(app.folder, 'src', name), text)

/** Opens what `vite` or `vite preview` serves, until the time is seen. */
async function ticks(...command) {
  const port = `${await freePort()}`
  it.site.on('/custom-event', clock)
  const options = ['--host', '127.0.0.1', '--port', port, '--strictPort']
  const program = await app.start([...command, ...options], { env: { EVENTS: it.site.url }, ready: /Local:/ })
  try {
    await untilItTicks(await it.newPage(`http://127.0.0.1:${port}`))
  } finally {
    await program.stop()
  }
}

/** As on somebody's first day: no dependency has been optimized. */
const forget = () => rmSync(join(app.folder, 'node_modules/.vite'), { recursive: true, force: true })

test('a page, in development', async () => {
  write('main.ts', sample('page'))
  forget()
  await ticks('vite')
})

test('a page, checked and built', async () => {
  write('main.ts', sample('page'))
  await app.run('tsc')
  await app.run('vite', 'build')
  await ticks('vite', 'preview')
})

test('a worker, in development', async () => {
  write('main.ts', sample('worker-page'))
  write('worker.js', sample('worker'))
  forget()
  await ticks('vite')
})

test('a worker, built', async () => {
  write('main.ts', sample('worker-page'))
  write('worker.js', sample('worker'))
  await app.run('vite', 'build')
  await ticks('vite', 'preview')
})
