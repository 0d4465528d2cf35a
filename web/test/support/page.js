// Runs in pages and in workers: notes what a source tells, for the test to read.

/** What was noted, in order: `[kind, value]`. */
export const notes = []

export function note(kind, value) {
  notes.push([kind, value])
}

/** What a test reads of a notice, as JSON. */
export function tell(notice) {
  const { isLocal, status, statusText, reason, error } = notice
  const told = { isLocal, status, statusText }
  if (reason !== undefined) told.reason = reason
  if (error !== undefined) told.error = { code: error.code, message: error.message }
  for (const key of ['status', 'retryAfter', 'body']) {
    if (error?.[key] !== undefined) told.error[key] = error[key]
  }
  return told
}

/**
 * Opens a source whose callbacks are noted as `open`, `close`, `error` and `message`, and whose stores of these names as
 * `value`: `[name, value]`. `leave()` of what it gives unsubscribes them all.
 */
export function watch(ssekit, from, { select = ['message'], ...options } = {}) {
  const source = ssekit.source(from, {
    onopen: (notice) => note('open', tell(notice)),
    onclose: (notice) => note('close', tell(notice)),
    onerror: (notice) => note('error', tell(notice)),
    onmessage: ({ id, event, data }) => note('message', [id, event, data]),
    ...options,
  })
  const leaves = select.map((name) => source.select(name).subscribe((value) => note('value', [name, value])))
  source.status.subscribe(({ state }) => note('state', state))
  return { source, leaves, leave: () => leaves.splice(0).forEach((leave) => leave()) }
}
