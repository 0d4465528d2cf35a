// A SvelteKit application as `npx sv create` makes it, with the README's lines.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, test } from 'node:test'
import { makeApp, scaffold } from '../support/app.mjs'
import { inChromium } from '../support/browser.mjs'
import { untilItTicks } from '../support/clock.mjs'
import { freePort } from '../support/program.mjs'
import { sample } from '../support/samples.mjs'

const NEW = ['sv@0.17.1', 'create', 'app', '--template', 'minimal', '--types', 'ts', '--no-add-ons', '--no-install']

/** Components that replace each other, each with a source of its own. */
const SWAP = `
<script>
  import Time from './Time.svelte'

  let isOther = $state(false)
</script>

<button onclick={() => (isOther = !isOther)}>swap</button>
{#if isOther}<section><Time /></section>{:else}<Time />{/if}
`

const it = inChromium()
const programs = []
let app

before(async () => {
  const files = {
    'src/routes/custom-event/+server.js': sample('produce'),
    'src/routes/+page.svelte': sample('svelte'),
    'src/routes/runes/+page.svelte': sample('runes'),
    'src/routes/swap/+page.svelte': SWAP,
    'src/routes/swap/Time.svelte': sample('svelte'),
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

test('built; a component that replaces another one keeps the connection', async () => {
  await app.run('vite', 'build')
  const url = await start('vite', 'preview')
  await ticks(url)
  const page = await it.newPage()
  let asked = 0
  page.on('request', (request) => request.url().endsWith('/custom-event') && asked++)
  await page.goto(`${url}/swap`)
  await untilItTicks(page)
  for (let round = 0; round < 4; round++) {
    await page.click('button')
    await untilItTicks(page)
  }
  assert.equal(asked, 1)
})

test('the WebAssembly is in a file that only a connection loads', () => {
  const folder = join(app.folder, '.svelte-kit/output/client/_app/immutable')
  const files = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.js'))
  const text = (file) => readFileSync(join(folder, file), 'utf8')
  const engines = files.filter((file) => text(file).includes('WebAssembly.instantiate'))
  assert.equal(engines.length, 1, `it is in ${engines.join(' and ')}`)
  const name = basename(engines[0])
  const importers = files.filter((file) => text(file).includes(name))
  assert.ok(importers.length > 0)
  for (const file of importers) assert.doesNotMatch(text(file), new RegExp(`(from|import) ?["'][^"']*${name}`), file)
})
