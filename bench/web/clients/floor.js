// Reading alone: what a fetch costs whose bytes nobody looks at.
export async function run(url, _types, tally) {
  const reader = (await fetch(url)).body.getReader()
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) tally.pieces += 1
}
