// A page without a bundler, with the README's lines.

import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { makeApp } from '../support/app.mjs'
import { inChromium } from '../support/browser.mjs'
import { clock, untilItTicks } from '../support/clock.mjs'
import { sample } from '../support/samples.mjs'
import { startSite } from '../support/site.mjs'

const it = inChromium()
let site

before(async () => {
  const app = await makeApp('plain', { files: { 'index.html': sample('plain') } })
  copyFileSync(join(app.folder, 'node_modules/ssekit/dist/ssekit.js'), join(app.folder, 'ssekit.js'))
  site = await startSite(app.folder)
  site.on('/custom-event', clock)
  site.on('/favicon.ico', (_request, response) => response.writeHead(204).end())
})
after(() => site?.stop())

test('a page with one file beside it', async () => {
  await untilItTicks(await it.newPage(`${site.url}/index.html`), /message: the time is \d{13}/)
})
