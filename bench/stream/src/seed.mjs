// The npm package's `produce` behind Node's own server: its stream is read and written as SvelteKit's adapter does,
// waiting for `drain`. The package cannot wait for a slow client; so that its queue does not grow without bound, the
// producer looks at what was written, which the package itself would not tell it.
import { createServer } from 'node:http'
import { produce } from 'sveltekit-sse'

const data = process.argv[2]
const turn = () => new Promise((resolve) => setImmediate(resolve))

createServer(async (_, answer) => {
  let emitted = 0
  let chunks = 0
  const response = produce(async ({ emit }) => {
    while (true) {
      for (let n = 0; n < 500; n++) {
        if (emit('m', data).error) return
      }
      emitted += 500
      // An event is three chunks.
      do await turn()
      while (emitted - chunks / 3 > 2000 && !answer.closed)
    }
  })
  answer.writeHead(response.status, Object.fromEntries(response.headers))
  const reader = response.body.getReader()
  answer.on('close', () => reader.cancel().catch(() => {}))
  while (true) {
    const { done, value } = await reader.read()
    if (done) return answer.end()
    chunks += 1
    if (!answer.write(value)) await new Promise((resolve) => answer.once('drain', resolve))
  }
}).listen(0, '127.0.0.1', function () {
  console.log(this.address().port)
})
