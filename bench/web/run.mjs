// Main-thread time of SSE clients in Chromium: `node run.mjs --help`.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { launch } from './browser.mjs'
import { bundle } from './bundle.mjs'
import { hottest } from './profile.mjs'
import { encode, expected, rowNamed, rows } from './rows.mjs'
import { clients, markdown } from './table.mjs'

const help = `Usage: node run.mjs [options]
  --write                 write ../web.md, which needs every row, client and way
  --rounds=5              how often each is measured, in turns
  --rows=a,b              of ${rows.map((row) => row.name).join(', ')}
  --clients=a,b           of ${clients.map((client) => client.name).join(', ')}
  --ways=network,memory   how the bytes come
  --profile               instead of a table, which functions take the time of each (READABLE=1: with their names)
Environment: CHROMIUM=/usr/bin/chromium`

const COUNT_IN_MEMORY = 20_000 // events of a row with a pace, when they are read from memory: one a piece

const { values: options } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    rows: { type: 'string' },
    clients: { type: 'string' },
    ways: { type: 'string', default: 'network,memory' },
    profile: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (options.help) {
  console.log(help)
  process.exit()
}

/** What one run in the page took: `seconds` of the main thread for `events`. */
async function measure(browser, origin, { row, client, way }, profiled) {
  const page = await browser.open(`${origin}/`)
  const count = way === 'memory' && row.perSecond ? COUNT_IN_MEMORY : row.count
  const [from, to] = [row.warmUp, row.warmUp + count]
  try {
    await page.evaluate(`bench.load('${client}')`)
    // What comes with a pace comes one event a piece; a network that is given all at once would not keep them apart.
    await stream(page, row, client, row.perSecond && !isNative(client) ? 'memory' : way, 0, from, '&fast')
    if (way === 'network') await page.evaluate('bench.release()')
    if (way === 'memory') await page.evaluate(`bench.hold('${query(row, from, to, '')}')`)
    await page.send('HeapProfiler.collectGarbage')
    if (profiled) {
      await page.send('Profiler.enable')
      await page.send('Profiler.setSamplingInterval', { interval: 100 })
      await page.send('Profiler.start')
    }
    const before = await page.mainThread()
    const took = await stream(page, row, client, way, from, to, '')
    const seconds = (await page.mainThread()) - before
    const profile = profiled && (await page.send('Profiler.stop')).profile
    return { seconds, count, pieces: took.pieces, profile }
  } finally {
    await page.close()
  }
}

const isNative = (name) => clients.some((client) => client.name === name && client.native)

const query = (row, from, to, more) => `?row=${row.name}&from=${from}&to=${to}${more}`

/** Lets the client take the events `from` to `to`; an error unless it has taken every one of them. */
async function stream(page, row, client, way, from, to, more) {
  if (way === 'memory' && from === 0) await page.evaluate(`bench.hold('${query(row, from, to, more)}')`)
  const run = `bench.run('${query(row, from, to, more)}', ${to - from}, ${JSON.stringify(row.types)})`
  const taken = await page.evaluate(run).catch((error) => {
    throw new Error(`${client} in row ${row.name} (${way}): ${error.message}`)
  })
  const wanted = expected(row, from, to)
  if (client !== 'floor' && (taken.events !== wanted.events || taken.units !== wanted.units || taken.sum !== wanted.sum)) {
    throw new Error(`${client} in row ${row.name} (${way}) took ${JSON.stringify(taken)} instead of ${JSON.stringify(wanted)}`)
  }
  return taken
}

/** What is measured, once: of each way and row the clients that can. */
function contests() {
  const named = (list, all) => (list === undefined ? all : list.split(','))
  const chosen = named(options.clients, clients.map((client) => client.name))
  return options.ways.split(',').flatMap((way) =>
    named(options.rows, rows.map((row) => row.name)).map((name) => ({
      way,
      row: rowNamed(name),
      clients: clients.filter((client) => chosen.includes(client.name) && (way === 'network' || !client.native)).map((client) => client.name),
      results: {},
    })),
  )
}

async function start() {
  const server = fork(new URL('./server.mjs', import.meta.url))
  const list = clients.map((client) => client.name).filter((name) => !options.clients || options.clients.split(',').includes(name))
  server.send(await bundle(list))
  const [port] = await once(server, 'message')
  return { server, browser: await launch(), origin: `http://127.0.0.1:${port}` }
}

const rounds = Number(options.rounds)
const all = contests()
const { server, browser, origin } = await start()
try {
  for (let round = 0; round < (options.profile ? 1 : rounds); round++) {
    for (const { way, row, clients, results } of all) {
      const order = clients.map((_, index) => clients[(index + round) % clients.length])
      if (round % 2) order.reverse()
      for (const client of order) {
        const result = await measure(browser, origin, { row, client, way }, options.profile)
        ;(results[client] ??= []).push(result)
        const line = `${way} ${row.name} ${client}: ${((result.seconds / result.count) * 1e6).toFixed(2)} µs an event`
        console.error(result.pieces ? `${line}, ${result.pieces} reads` : line)
        if (options.profile) console.log(hottest(result.profile, result.count))
      }
    }
  }
  if (!options.profile) {
    const bytes = (row) => encode(row, 0, 1_000).reduce((sum, event) => sum + event.length, 0) / 1_000
    const text = markdown(all.map((contest) => ({ ...contest, bytes: bytes(contest.row) })), rounds, await browser.version())
    if (options.write) writeFileSync(new URL('../web.md', import.meta.url), text)
    console.log(text)
  }
} finally {
  await browser.close()
  server.disconnect()
}
