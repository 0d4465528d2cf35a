// What is sent: one row of the table each. The same bytes every time, so that runs can be compared.

/**
 * @typedef {object} Row
 * @property {string} name
 * @property {string} label what the table says of it
 * @property {number} count how many events
 * @property {number} warmUp how many before them, without a pace, which are not measured
 * @property {number | undefined} perSecond how many a second, one a write; without it as fast as they are read, in pieces of 16 to 64 KiB
 * @property {string[]} types the names of its events
 * @property {(n: number) => {type: string, named: boolean, data: string}} event
 */

const words = ['the', ' stream', ' of', ' tokens', ' goes', ' on', ' until', ' a', ' model', ' has', ' said', ' what', ' it', ' was', ' asked', '.', ',', '\\n\\n', ' and', ' "quoted"']
const asianWords = ['これは', '流れて', 'くる', '文字', '列です', '。', '안녕', '하세요', '你好', '世界', '🚀', '👩‍💻', '🎉', 'é', 'ß', ' — ', 'поток', ' слов']

/** A chunk of a chat completion, 180 to 200 bytes. */
const chatChunk = (n, content) =>
  `{"id":"chatcmpl-Bf2k9XwQ7","object":"chat.completion.chunk","created":1763820000,"model":"large-1","seq":${n},` +
  `"choices":[{"index":0,"delta":{"content":${JSON.stringify(content)}},"finish_reason":null}]}`

const chat = (n) => ({ type: 'message', named: false, data: chatChunk(n, words[n % words.length]) })

const namedDelta = (n) => ({
  type: 'content_block_delta',
  named: true,
  data: `{"type":"content_block_delta","index":${n},"delta":{"type":"text_delta","text":${JSON.stringify(words[n % words.length])}}}`,
})

const small = (n) => ({ type: 'tick', named: true, data: `{"n":${n},"at":${1763820000000 + n}}` })

const asian = (n) => ({
  type: 'message',
  named: false,
  data: chatChunk(n, Array.from({ length: 12 }, (_, word) => asianWords[(n * 7 + word * 5) % asianWords.length]).join('')),
})

const large = (n) => ({ type: 'message', named: false, data: `{"n":${n},"text":"${'0123456789abcdef'.repeat(2560)}"}` })

/** @type {Row[]} */
export const rows = [
  { name: 'chat-paced', label: 'chat tokens, unnamed, 200 bytes, 500 a second', count: 1_500, warmUp: 20_000, perSecond: 500, types: ['message'], event: chat },
  { name: 'named-paced', label: 'chat tokens, named, 150 bytes, 500 a second', count: 1_500, warmUp: 20_000, perSecond: 500, types: ['content_block_delta'], event: namedDelta },
  { name: 'small-paced', label: 'small events, 1,000 a second', count: 3_000, warmUp: 20_000, perSecond: 1_000, types: ['tick'], event: small },
  { name: 'chat', label: 'chat tokens, unnamed, 200 bytes', count: 160_000, warmUp: 20_000, types: ['message'], event: chat },
  { name: 'named', label: 'chat tokens, named, 150 bytes', count: 200_000, warmUp: 20_000, types: ['content_block_delta'], event: namedDelta },
  { name: 'small', label: 'small events', count: 400_000, warmUp: 20_000, types: ['tick'], event: small },
  { name: 'asian', label: 'chat tokens, CJK and emoji', count: 120_000, warmUp: 20_000, types: ['message'], event: asian },
  { name: 'large', label: 'events of 40 KiB', count: 1_200, warmUp: 200, types: ['message'], event: large },
]

/** @param {string} name @returns {Row} */
export function rowNamed(name) {
  const row = rows.find((row) => row.name === name)
  if (!row) throw new Error(`no row is named ${name}; there are ${rows.map((row) => row.name).join(', ')}`)
  return row
}

/**
 * The events `from` to `to` of a row as they are written: one buffer an event.
 * @param {Row} row
 */
export function encode(row, from, to) {
  return Array.from({ length: to - from }, (_, index) => {
    const { type, named, data } = row.event(from + index)
    return Buffer.from(named ? `event: ${type}\ndata: ${data}\n\n` : `data: ${data}\n\n`)
  })
}

/**
 * Pieces of 16 to 64 KiB, cut anywhere, as a proxy or a socket cuts them.
 * @param {Buffer[]} events
 */
export function cut(events) {
  const whole = Buffer.concat(events)
  const pieces = []
  for (let at = 0, seed = 1; at < whole.length; ) {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    const length = 16_384 + (seed % 49_153)
    pieces.push(whole.subarray(at, at + length))
    at += length
  }
  return pieces
}

/**
 * What a client has to have taken when it has taken every event of a row.
 * @param {Row} row
 */
export function expected(row, from, to) {
  const tally = { events: 0, units: 0, sum: 0 }
  for (let n = from; n < to; n++) {
    const { data } = row.event(n)
    tally.events += 1
    tally.units += data.length
    tally.sum += data.charCodeAt(data.length >> 1)
  }
  return tally
}
