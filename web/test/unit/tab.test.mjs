import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load } from './support.mjs'

const { Tab } = await load('engine/tab.ts')

/** Tabs, a channel between them, and a server with a history that resumes after an id. */
class Origin {
  tabs = []
  leader
  now = 1
  /** Messages on their way: to whom, and what. */
  mail = []

  open(lastEventId = '') {
    const tab = { got: [], states: [], lost: 0, open: true }
    tab.tab = new Tab(
      `tab ${this.tabs.length}`,
      {
        send: (message) => {
          for (const other of this.tabs) {
            if (other !== tab && other.open) this.mail.push([other, structuredClone(message), tab])
          }
        },
        deliver: (items) => tab.got.push(...items.map(({ id, data }) => (id ? `${id}:${data}` : data))),
        state: (state, isLate) => tab.states.push(isLate ? `${state} late` : state),
        lost: () => tab.lost++,
      },
      lastEventId,
    )
    this.tabs.push(tab)
    tab.tab.enter()
    return tab
  }

  /** Delivers what is on its way, up to `limit` messages; those of one tab in order. */
  deliver(limit = Infinity, to) {
    for (let left = limit; left > 0; left--) {
      const at = this.mail.findIndex(([other]) => !to || other === to)
      if (at < 0) return
      const [[tab, message]] = this.mail.splice(at, 1)
      if (tab.open) tab.tab.onMessage(message)
    }
  }

  lead(tab) {
    this.leader = tab
    tab.tab.lead(this.now++)
    // A server that keeps everything resumes.
    this.resumed = events.findIndex(({ id }) => id === tab.tab.lastEventId) + 1
  }

  /** The leader's connection brings so many events more. */
  bring(count) {
    this.leader.tab.received(events.slice(this.resumed, (this.resumed += count)))
  }

  close(tab) {
    tab.open = false
    this.mail = this.mail.filter(([to]) => to !== tab)
  }
}

const events = Array.from({ length: 5000 }, (_, i) => ({ id: String(i + 1), event: 'message', data: `e${i + 1}` }))
const texts = (from, to) => events.slice(from - 1, to).map(({ id, data }) => `${id}:${data}`)

test('followers get the events of the leader; a later tab gets later events, and the latest state', () => {
  const origin = new Origin()
  const [a, b] = [origin.open(), origin.open()]
  origin.lead(a)
  a.tab.announce('open')
  origin.bring(3)
  origin.deliver()
  const c = origin.open()
  origin.deliver()
  origin.bring(2)
  origin.deliver()
  assert.deepEqual(a.got, texts(1, 5))
  assert.deepEqual(b.got, texts(1, 5))
  assert.deepEqual(c.got, texts(4, 5))
  assert.deepEqual(b.states, ['open'])
  assert.deepEqual(c.states, ['open late'])
  assert.equal(c.tab.lastEventId, '5')
})

/** The leader, a, has gone after so many events that all have, and so many that c alone has heard of. */
function leftWithout(common, more) {
  const origin = new Origin()
  const [a, b, c] = [origin.open(), origin.open(), origin.open()]
  origin.lead(a)
  origin.bring(common)
  origin.deliver()
  origin.bring(more)
  origin.deliver(Infinity, c)
  origin.close(a)
  origin.mail = []
  return { origin, b, c }
}

test('a leader that is behind resumes from itself, and a tab ahead of it skips repeated events', () => {
  const { origin, b, c } = leftWithout(2, 3)
  origin.lead(b)
  origin.deliver()
  origin.bring(4)
  origin.deliver()
  assert.deepEqual(b.got, texts(1, 6))
  assert.deepEqual(c.got, texts(1, 6))
})

test('a tab behind the new leader gets the events that it lacks', () => {
  const { origin, b, c } = leftWithout(2, 3)
  origin.lead(c)
  origin.bring(1)
  origin.deliver()
  assert.deepEqual(b.got, texts(1, 6))
  assert.deepEqual(c.got, texts(1, 6))
  assert.equal(b.lost + c.lost, 0)
})

test('a server that does not repeat: all its events are new', () => {
  const { origin, b, c } = leftWithout(1, 2)
  origin.lead(b)
  origin.resumed = 10
  origin.bring(2)
  origin.deliver()
  assert.deepEqual(b.got, [...texts(1, 1), ...texts(11, 12)])
  assert.deepEqual(c.got, [...texts(1, 3), ...texts(11, 12)])
})

test('events without ids cannot be distinguished, and are all delivered', () => {
  const origin = new Origin()
  const [a, b] = [origin.open(), origin.open()]
  const plain = { id: '', event: 'message', data: 'x' }
  origin.lead(a)
  a.tab.received([plain])
  origin.deliver()
  origin.close(a)
  origin.lead(b)
  b.tab.received([plain, plain])
  assert.deepEqual(b.got, ['x', 'x', 'x'])
})

test('a message that did not arrive is noticed, and asked for', () => {
  const origin = new Origin()
  const [a, b] = [origin.open(), origin.open()]
  origin.lead(a)
  origin.deliver()
  origin.bring(2)
  origin.mail = []
  origin.bring(1)
  origin.deliver()
  assert.deepEqual(b.got, texts(1, 3))
  assert.equal(b.lost, 0)
})

test('a tab that stood still gets the events that it missed, or an error when they are not kept any more', () => {
  const origin = new Origin()
  const [a, b] = [origin.open(), origin.open()]
  origin.lead(a)
  origin.bring(1)
  origin.deliver()
  b.open = false
  origin.bring(1000)
  b.open = true
  b.tab.enter()
  origin.deliver()
  assert.deepEqual(b.got, texts(1, 1001))
  assert.equal(b.lost, 0)

  b.open = false
  origin.bring(1500)
  b.open = true
  b.tab.enter()
  origin.deliver()
  assert.equal(b.lost, 1)
  origin.bring(1)
  origin.deliver()
  assert.equal(b.got.at(-1), '2502:e2502')
})

test('a leader of before is not listened to', () => {
  const origin = new Origin()
  const [a, b, c] = [origin.open(), origin.open(), origin.open()]
  origin.lead(a)
  origin.deliver()
  origin.lead(b)
  origin.deliver()
  a.tab.received([{ id: 'old', event: 'message', data: 'old' }])
  origin.deliver(Infinity, c)
  assert.deepEqual(c.got, [])
})

test('any order of leaders, comers, goers and late messages: nobody loses or repeats an event', () => {
  for (let seed = 1; seed <= 300; seed++) {
    let state = seed
    const random = (below) => (state = (state * 48271) % 0x7fffffff) % below
    const origin = new Origin()
    origin.open()
    origin.lead(origin.tabs[0])
    for (let step = 0; step < 80; step++) {
      const open = origin.tabs.filter((tab) => tab.open)
      const doing = random(10)
      if (doing < 4) origin.bring(1 + random(4))
      else if (doing < 7) origin.deliver(random(6), open[random(open.length)])
      else if (doing === 7 && open.length < 5) origin.open()
      else if (doing === 8 && open.length > 1) {
        const gone = open[random(open.length)]
        // A leader has answered who asked, but for those of the last moment.
        if (gone === origin.leader) {
          origin.deliver(Infinity, gone)
          for (const tab of open) origin.deliver(Infinity, tab)
          origin.bring(random(4))
          origin.deliver(random(4), open[random(open.length)])
        }
        origin.close(gone)
        if (gone === origin.leader) {
          const left = open.filter((tab) => tab !== gone)
          const next = left[random(left.length)]
          // What it has said arrives, but for the last few messages, which come to some.
          for (const tab of left) {
            const said = origin.mail.filter(([to, , from]) => to === tab && from === gone)
            const lost = said.slice(said.length - random(4))
            origin.mail = origin.mail.filter((mail) => !lost.includes(mail))
          }
          origin.deliver(Infinity, next)
          origin.lead(next)
        }
      }
    }
    origin.deliver()
    origin.bring(400)
    origin.deliver()
    for (const tab of origin.tabs.filter(({ open }) => open)) {
      const [first] = tab.got
      if (first === undefined) continue
      const from = Number(first.split(':')[0])
      assert.deepEqual(tab.got, texts(from, origin.resumed), `seed ${seed}`)
      assert.equal(tab.lost, 0, `seed ${seed}`)
    }
  }
})
