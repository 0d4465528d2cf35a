// A page with the npm package's own client: `page.mjs URL OPTIONS`. It reports what it sees, one JSON value a line, and
// leaves when told to.
globalThis.document = new EventTarget() // the package takes whoever has one for a browser
globalThis.window = globalThis
const { source } = await import('sveltekit-sse')

const report = (kind, seen) => console.log(JSON.stringify({ kind, ...seen }))
process.on('unhandledRejection', (error) => report('unhandled', { error: `${error}` }))

const connection = source(process.argv[2], {
  open: ({ status, isLocal }) => report('open', { status, isLocal }),
  close: ({ status, isLocal }) => report('close', { status, isLocal }),
  error: ({ error }) => report('error', { error: `${error}` }),
  options: { ...JSON.parse(process.argv[3]), onmessage: ({ id, event, data }) => report('message', { id, event, data }) },
})
const unsubscribe = [
  connection.select('greeting').subscribe((value) => report('greeting', { value })),
  connection.select('quote').json().subscribe((value) => report('quote', { value })),
  connection.select('message').transform((text) => text.length).subscribe((value) => report('length', { value })),
]
process.stdin.on('data', () => unsubscribe.forEach((leave) => leave()))
process.stdin.on('end', () => process.exit())
