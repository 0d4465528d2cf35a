// A SvelteKit application as `npx sv create` makes it, with the README's lines.

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { makeApp, scaffold } from '../support/app.mjs'
import { inChromium } from '../support/browser.mjs'
import { untilItTicks } from '../support/clock.mjs'
import { freePort } from '../support/program.mjs'
import { sample } from '../support/samples.mjs'

const NEW = ['sv@0.17.1', 'create', 'app', '--template', 'minimal', '--types', 'ts', '--no-add-ons', '--no-install']

const it = inChromium()
const programs = []
let app

before(async () => {
  const files = {
    'src/routes/custom-event/+server.js': sample('produce'),
    'src/routes/+page.svelte': sample('svelte'),
    'src/routes/runes/+page.svelte': sample('runes'),
  }
  app = await makeApp('sveltekit', { from: await scaffold(NEW), files })
})
after(() => Promise.all(programs.map((program) => program.stop())))

async function start(...command) {
  const port = `${await freePort()}`
  const options = ['--host', '127.0.0.1', '--port', port, '--strictPort']
  programs.push(await app.start([...command, ...options], { ready: /Local:/ }))
  return `http://127.0.0.1:${port}`
}

async function ticks(url) {
  await untilItTicks(await it.newPage(url))
  await untilItTicks(await it.newPage(`${url}/runes`), /THE TIME IS \d{13}/)
}

test('in development', async () => ticks(await start('vite')))

test('built', async () => {
  await app.run('vite', 'build')
  await ticks(await start('vite', 'preview'))
})

test('the WebAssembly is in a file that loads with the first connection', () => {
  const folder = join(app.folder, '.svelte-kit/output/client/_app/immutable')
  const files = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.js'))
  const large = files.filter((name) => readFileSync(join(folder, name), 'utf8').includes('AGFzbQ'))
  assert.equal(large.length, 1, `WebAssembly in ${large}`)
  const importers = files.filter((name) => readFileSync(join(folder, name), 'utf8').includes(large[0].split('/').at(-1)))
  assert.ok(importers.length > 0)
  for (const name of importers) {
    const file = large[0].split('/').at(-1)
    const text = readFileSync(join(folder, name), 'utf8')
    assert.doesNotMatch(text, new RegExp(`(from|import) *["'][^"']*${file}["']`), `${name} loads it at once`)
  }
})
