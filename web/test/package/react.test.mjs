// A React application as `npm create vite` makes it, with the README's lines.

import { before, test } from 'node:test'
import { makeApp, scaffold } from '../support/app.mjs'
import { inChromium } from '../support/browser.mjs'
import { clock, untilItTicks } from '../support/clock.mjs'
import { freePort } from '../support/program.mjs'
import { sample } from '../support/samples.mjs'
import { until } from '../support/until.mjs'

const NEW = ['create-vite@9.3.0', 'app', '--template', 'react-ts', '--no-interactive']
const CONFIG = `
import react from '@vitejs/plugin-react'

const proxy = { '/custom-event': process.env.EVENTS }
export default { plugins: [react()], server: { proxy }, preview: { proxy } }
`

const it = inChromium()
let app

before(async () => {
  const files = { 'vite.config.ts': CONFIG, 'src/App.tsx': sample('react') }
  app = await makeApp('react', { from: await scaffold(NEW), files })
})

for (const [name, command] of Object.entries({ 'in development': ['vite'], built: ['vite', 'preview'] })) {
  test(`a component, ${name}`, async () => {
    if (name === 'built') {
      await app.run('tsc', '-b')
      await app.run('vite', 'build')
    }
    const port = `${await freePort()}`
    it.site.on('/custom-event', clock)
    const options = ['--host', '127.0.0.1', '--port', port, '--strictPort']
    const program = await app.start([...command, ...options], { env: { EVENTS: it.site.url }, ready: /Local:/ })
    try {
      const page = await it.newPage(`http://127.0.0.1:${port}`)
      await untilItTicks(page)
      await page.close()
      await until(() => it.site.asked('/custom-event').every(({ gone }) => gone), 'the end of its connection')
    } finally {
      await program.stop()
    }
  })
}
