import assert from 'node:assert/strict'
import { test } from 'node:test'
import { excess, sizes } from '../../size.mjs'

test('the files that a page loads are within the limits', async (t) => {
  const figures = await sizes()
  const { first, all, single, originalFirst, originalAll } = figures
  t.diagnostic(`${first} B before the first connection, ${all} B in all, ${single} B as one file, minified and gzipped`)
  t.diagnostic(`ssekit/sveltekit-sse: ${originalFirst} B before the first connection, ${originalAll} B in all`)
  assert.deepEqual(excess(figures), [])
  // Files that are not found are not counted.
  assert(first > 1000 && all > 10_000 && originalFirst > first && originalAll > 10_000)
})
