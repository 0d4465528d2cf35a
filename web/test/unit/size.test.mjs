import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits, sizes } from '../../size.mjs'

test('what a page loads is within the limits', async (t) => {
  const { first, all, single } = await sizes()
  t.diagnostic(`${first} B before the first connection, ${all} B in all, ${single} B as one file, minified and gzipped`)
  assert(first <= limits.first, `${first} B before the first connection`)
  assert(all <= limits.all, `${all} B in all`)
  assert(single <= limits.all, `${single} B as one file`)
  // What is not found is not counted.
  assert(first > 1000 && all > 10_000)
})
