// A React application as `npm create vite` makes it, with the README's lines.

import assert from 'node:assert/strict'
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

/** Components that replace each other, each with a source of its own. */
const SWAP = `
import { useMemo, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { source } from 'ssekit'
import { useReadable } from 'ssekit/react'

function Time() {
  const time = useMemo(() => source('/custom-event').select('message'), [])
  return <p>{useReadable(time)}</p>
}

function Swap() {
  const [isOther, setOther] = useState(false)
  return (
    <>
      <button onClick={() => setOther(!isOther)}>swap</button>
      {isOther ? <section><Time /></section> : <Time />}
    </>
  )
}

createRoot(document.body.appendChild(document.createElement('div'))).render(<Swap />)
`

const it = inChromium()
let app

before(async () => {
  const files = {
    'vite.config.ts': CONFIG,
    'src/App.tsx': sample('react'),
    'src/swap.tsx': SWAP,
    'swap.html': '<!doctype html><script type="module" src="/src/swap.tsx"></script>',
  }
  app = await makeApp('react', { from: await scaffold(NEW), files })
})

/** A component that replaces another one keeps the connection. */
async function swaps(url) {
  const page = await it.newPage(url)
  await untilItTicks(page)
  const before = it.site.asked('/custom-event').length
  for (let round = 0; round < 4; round++) {
    await page.click('button')
    await untilItTicks(page)
  }
  const asked = it.site.asked('/custom-event')
  assert.deepEqual([asked.length, asked.at(-1).gone], [before, false])
}

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
      if (name === 'in development') await swaps(`http://127.0.0.1:${port}/swap.html`)
    } finally {
      await program.stop()
    }
  })
}
