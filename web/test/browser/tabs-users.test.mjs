// Two users in two tabs of one browser: tabs share a connection only if they provably ask for the same with the same rights,
// so that no event of one user reaches the other, however their requests say who they are.
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { inChromium, loadPackage, noted, notesOf } from '../support/browser.mjs'
import { begin, BLANK, event } from '../support/site.mjs'
import { until } from '../support/until.mjs'

const it = inChromium()
let streams

/** A server of private streams: whose they are is said by the token, or by the session's cookie. */
beforeEach(() => {
  streams = []
  const stream = (request, response) => {
    const [, token] = /^Bearer (\w+)$/.exec(request.headers.authorization ?? '') ?? []
    const [, session] = /session=(\w+)/.exec(request.headers.cookie ?? '') ?? []
    const user = token ?? session
    const wanted = new URL(request.url, 'http://site').searchParams.get('user')
    if (!user || (wanted && wanted !== user)) return response.writeHead(403).end('not yours')
    begin(response)
    const opened = { user, response }
    streams.push(opened)
    response.on('close', () => streams.splice(streams.indexOf(opened), 1))
  }
  it.site.on('/private', stream)
  it.site.on('/login', (request, response) => {
    const user = new URL(request.url, 'http://site').searchParams.get('user')
    response.writeHead(200, { 'set-cookie': `session=${user}; HttpOnly; Path=/; Max-Age=${user ? 3600 : 0}` }).end()
  })
  it.site.page('/app', BLANK)
})
afterEach(() => streams.splice(0).forEach(({ response }) => response.destroy()))

/** Sends a text to all streams of a user. */
function publish(user, data) {
  for (const stream of streams.filter((each) => each.user === user)) stream.response.write(event({ data: `${user}: ${data}` }))
}

const untilOpen = (count) => until(() => streams.length === count, `${count} open streams`)

async function tab() {
  const page = await it.newPage(`${it.site.url}/app`)
  page.warnings = []
  page.on('console', (message) => message.type() === 'warning' && page.warnings.push(message.text()))
  await loadPackage(page)
  return page
}

const login = (page, user) => page.evaluate((user) => fetch(`/login?user=${user}`).then(() => {}), user)

/** Listens to the private stream, with an expression for the options, and waits until it is open. */
async function listen(page, options, from = '/private') {
  await page.evaluate(([from, options]) => void watch(from, (0, eval)(`(${options})`)), [from, options])
  await until(async () => (await notesOf(page, 'state')).at(-1) === 'open', 'the tab listens')
}

const textsOf = async (page) => (await notesOf(page, 'message')).map(([, , data]) => data)

/** Each page sees its own user's event, and nothing else. */
async function assertPrivate(pages) {
  for (const user of Object.keys(pages)) publish(user, 'secret')
  for (const [user, page] of Object.entries(pages)) {
    await noted(page, 'message')
    assert.deepEqual([...new Set(await textsOf(page))], [`${user}: secret`])
  }
}

for (const [way, options] of [
  ['static headers', (user) => `{ method: 'GET', tabs: true, credentials: 'omit', headers: { authorization: 'Bearer ${user}' } }`],
  ['static headers and cookies', (user) => `{ method: 'GET', tabs: true, headers: { authorization: 'Bearer ${user}' } }`],
  ['a function for headers', (user) => `{ method: 'GET', tabs: true, headers: () => ({ authorization: 'Bearer ${user}' }) }`],
  ['a function for headers, without cookies', (user) => `{ tabs: true, credentials: 'omit', headers: async () => ({ authorization: 'Bearer ${user}' }) }`],
  ['a function for headers and a key', (user) => `{ tabs: true, key: '${user}', headers: () => ({ authorization: 'Bearer ${user}' }) }`],
  ['a fetch that adds the token', (user) => `{ tabs: true, credentials: 'omit', fetch: (url, init) => {
    init.headers.set('authorization', 'Bearer ${user}')
    return fetch(url, init)
  } }`],
]) {
  test(`${way}: two users have two streams`, async () => {
    const pages = { alice: await tab(), bob: await tab() }
    for (const [user, page] of Object.entries(pages)) await listen(page, options(user))
    await untilOpen(2)
    await assertPrivate(pages)
  })
}

for (const [way, options] of [
  ['by default', '{ tabs: true }'],
  ['with GET', `{ method: 'GET', tabs: true }`],
  ['with credentials that are included', `{ tabs: true, credentials: 'include' }`],
  ['with static headers that say nothing', `{ tabs: true, headers: { 'x-app': '1' } }`],
]) {
  test(`cookies, ${way}: after a log-out and a log-in in another tab, each tab has its own user's stream`, async () => {
    const alice = await tab()
    await login(alice, 'alice')
    await listen(alice, options)
    await untilOpen(1)
    const bob = await tab()
    await login(bob, '')
    await login(bob, 'bob')
    await listen(bob, options)
    await untilOpen(2)
    await assertPrivate({ alice, bob })
    assert.match(bob.warnings.join(), /tabs do not share .*\/private: without a `key`/)
  })
}

test('cookies, in frames of about:blank, whose requests carry those of the page: each has its own user\'s stream', async () => {
  const frames = {}
  for (const user of ['alice', 'bob']) {
    const page = await tab()
    frames[user] = await it.newFrame({}, page)
    await loadPackage(frames[user])
    assert.equal(await frames[user].evaluate(() => location.origin), 'null')
    await login(frames[user], user)
    await listen(frames[user], '{ tabs: true }')
  }
  await untilOpen(2)
  await assertPrivate(frames)
})

test('cookies and a key: tabs of one user share, and those of the next user share another stream', async () => {
  const alices = [await tab(), await tab()]
  await login(alices[0], 'alice')
  for (const page of alices) await listen(page, `{ tabs: true, key: 'alice' }`)
  await untilOpen(1)
  const bobs = [await tab(), await tab()]
  await login(bobs[0], 'bob')
  for (const page of bobs) await listen(page, `{ tabs: true, key: 'bob' }`)
  await untilOpen(2)
  publish('alice', 'secret')
  publish('bob', 'secret')
  for (const page of [...alices, ...bobs]) await noted(page, 'message')
  for (const page of alices) assert.deepEqual(await textsOf(page), ['alice: secret'])
  for (const page of bobs) assert.deepEqual(await textsOf(page), ['bob: secret'])
})

test('a stream that names its user is refused to the next one, when a tab that was left open returns', async () => {
  const [first, left] = [await tab(), await tab()]
  await login(first, 'alice')
  const options = `{ tabs: true, key: 'alice', reconnect: { delay: 20, minDelay: 1 } }`
  await listen(first, options, '/private?user=alice')
  await untilOpen(1)
  await listen(left, options, '/private?user=alice')
  publish('alice', 'one')
  await noted(left, 'message')
  await login(first, 'bob')
  // The log-out ends the streams of the session, and the tab with the connection goes.
  await first.close()
  const [close] = await noted(left, 'close')
  assert.deepEqual([close.reason, close.error.status], ['failed', 403])
  assert.deepEqual(await textsOf(left), ['alice: one'])
})

test('static headers without cookies, and another origin without credentials, are shared', async () => {
  const pages = [await tab(), await tab()]
  const omit = `{ tabs: true, credentials: 'omit', headers: { authorization: 'Bearer alice' } }`
  for (const page of pages) await listen(page, omit)
  await untilOpen(1)
  await login(pages[0], 'bob')
  publish('alice', 'secret')
  for (const page of pages) assert.deepEqual(await noted(page, 'message').then(() => textsOf(page)), ['alice: secret'])
  for (const page of pages) assert.deepEqual(page.warnings, [])
})

test('tabs that would resume after different events do not share', async () => {
  const pages = [await tab(), await tab()]
  await login(pages[0], 'alice')
  for (const [index, page] of pages.entries()) await listen(page, `{ tabs: true, key: 'alice', lastEventId: '${index + 1}' }`)
  await untilOpen(2)
  assert.deepEqual(it.site.asked('/private').map(({ headers }) => headers['last-event-id']).sort(), ['1', '2'])
})
