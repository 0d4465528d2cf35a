// webpack 5 with no configuration, with the README's lines.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { makeApp } from '../support/app.mjs'
import { inChromium } from '../support/browser.mjs'
import { clock, untilItTicks } from '../support/clock.mjs'
import { sample } from '../support/samples.mjs'
import { startSite } from '../support/site.mjs'

const it = inChromium()
let app, site

before(async () => {
  app = await makeApp('webpack', {
    files: {
      'src/index.js': sample('page'),
      'index.html': '<!doctype html><link rel="icon" href="data:,"><body><script src="dist/main.js"></script>',
    },
    packages: { webpack: '5.112.2', 'webpack-cli': '7.3.1' },
  })
  site = await startSite(app.folder)
  site.on('/custom-event', clock)
})
after(() => site?.stop())

for (const mode of ['development', 'production']) {
  test(`a page, built for ${mode}`, async () => {
    await app.run('webpack', '--mode', mode)
    assert.ok(readdirSync(join(app.folder, 'dist')).length > 1, 'the WebAssembly is in a file of its own')
    await untilItTicks(await it.newPage(`${site.url}/index.html`))
  })
}
