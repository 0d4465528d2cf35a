// The clients, and the tables of ../web.md.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg } from 'node:os'

/** @type {{name: string, label: string, package?: string, ours?: true, peer?: true, native?: true}[]} */
export const clients = [
  { name: 'floor', label: 'reading alone' },
  { name: 'ssekit-store', label: 'ssekit, store', ours: true },
  { name: 'ssekit-iterator', label: 'ssekit, iterator', ours: true },
  { name: 'parser-feed', label: '`createParser`', package: 'eventsource-parser', peer: true },
  { name: 'parser-stream', label: '`EventSourceParserStream`', package: 'eventsource-parser', peer: true },
  { name: 'sveltekit-sse', label: 'sveltekit-sse', package: 'sveltekit-sse', peer: true },
  { name: 'fetch-event-source', label: 'fetch-event-source', package: '@microsoft/fetch-event-source' },
  { name: 'eventsource', label: '`EventSource`', native: true },
]

/** How the bytes come. */
const ways = { network: 'over HTTP', memory: 'from memory' }

const sorted = (list) => [...list].sort((a, b) => a - b)
const median = (list) => sorted(list)[list.length >> 1]
const digits = (number) => (number >= 100 ? number.toFixed(0) : number >= 10 ? number.toFixed(1) : number.toFixed(2))
const range = (list) => `${digits(median(list))} (${digits(Math.min(...list))}–${digits(Math.max(...list))})`
const labelled = (label, cells) => `| ${[label, ...cells].join(' | ')} |`

/** µs of the main thread for an event, round by round. */
const perEvent = (results) => results.map(({ seconds, count }) => (seconds / count) * 1e6)

/** Round by round, what `ours` takes of what `peer` takes. */
function ratios(ours, peer) {
  const peers = perEvent(peer)
  return perEvent(ours).map((time, round) => time / peers[round])
}

/** The faster of the peers in a contest, by its median. */
function fastestPeer(results) {
  const measured = clients.filter(({ name, peer }) => peer && results[name])
  return measured.sort((a, b) => median(perEvent(results[a.name])) - median(perEvent(results[b.name])))[0]
}

function verdict(results, name) {
  const peer = fastestPeer(results)
  if (!peer || !results[name]) return '–'
  const list = ratios(results[name], results[peer.name])
  return `${range(list)} of ${peer.label}`
}

function table(contests, cell, last) {
  const names = clients.filter(({ name }) => contests.some(({ results }) => results[name]))
  const ours = last ? clients.filter((client) => client.ours && names.includes(client)) : []
  const head = ['row', ...names.map(({ label }) => label), ...ours.map(({ label }) => `${label}: share of the fastest peer's time`)]
  return [
    labelled(head[0], head.slice(1)),
    `|${'---|'.repeat(head.length)}`,
    ...contests.map((contest) =>
      labelled(contest.row.label, [
        ...names.map(({ name }) => (contest.results[name] ? cell(contest, perEvent(contest.results[name])) : '–')),
        ...ours.map(({ name }) => verdict(contest.results, name)),
      ]),
    ),
  ].join('\n')
}

function section(title, text, contests) {
  if (contests.length === 0) return ''
  return `## ${title}

${text}

µs of the main thread an event:

${table(contests, (_, times) => range(times), true)}

ms of the main thread a megabyte of the stream:

${table(contests, ({ bytes }, times) => digits((median(times) / bytes) * 1e3), false)}
`
}

function versions() {
  const require = createRequire(import.meta.url)
  const version = (name) => JSON.parse(readFileSync(require.resolve.paths(name).map((path) => `${path}/${name}/package.json`)[0])).version
  const packages = [...new Set(clients.flatMap((client) => client.package ?? []))]
  return packages.map((name) => `${name} ${version(name)}`).join(', ')
}

/** Where each form of ours is slower than the fastest peer, and where not. */
function met(contests) {
  return clients.filter(({ ours, name }) => ours && contests.some(({ results }) => results[name])).map(({ name, label }) => {
    const rows = contests.flatMap(({ row, way, results }) => {
      const peer = fastestPeer(results)
      return peer && results[name] ? [{ row, way, ratio: median(ratios(results[name], results[peer.name])) }] : []
    })
    const missed = rows.filter(({ ratio }) => ratio > 1)
    const list = missed.map(({ row, way, ratio }) => `${row.label} (${ways[way]}): ${digits(ratio)}`)
    return `- ${label}: not slower on ${rows.length - missed.length} of ${rows.length} rows${list.length ? `; slower on\n  ${list.join(';\n  ')}` : ''}.`
  }).join('\n')
}

/** The page that `--write` writes. */
export function markdown(contests, rounds, browser) {
  const of = (way) => contests.filter((contest) => contest.way === way)
  return `# In the browser: the cost of a client for the page

Processor time of the page's main thread (\`ThreadTime\` of the DevTools protocol, in thread ticks), not elapsed
time: other load of the machine changes it little, and Chromium's other threads and processes do not count.
Each figure is from its own page in its own process, warmed by up to 20,000 events, after a garbage
collection; ${rounds} rounds in turns: medians, in parentheses the least and the most; shares are taken round by
round. A client that misses an event is an error. The clients are in [web/clients](web/clients), each used as
its README shows.

Goal: not slower than the faster of eventsource-parser and sveltekit-sse.

${met(contests)}

${section('Over HTTP', 'From a server on the same machine: one event a write where the row has a pace, otherwise pieces of 16 to\n64 KiB, as fast as they are read.', of('network'))}
${section('From memory', 'The same clients, whose `fetch` is answered from memory: rows with a pace above come in pieces of one event,\nas fast as they are read; the others in the same pieces as above. So only the work of the client\nitself remains.', of('memory'))}
${new Date().toISOString().slice(0, 10)} on ${cpus()[0].model}, ${cpus().length} cores, load average ${loadavg()[2].toFixed(1)};
${browser}; ${versions()}.
Command: \`cd bench/web && npm ci && node run.mjs --write\`, after \`cargo xtask web\`.
`
}
