import type { People, Said } from '$lib/events'

type Emit = (event: string, data: string) => unknown

/** A page: its secret, which it makes, the name that it shows, and its stream. */
interface Visitor {
  session: string
  name: string
  emit: Emit
}

const SEATS = 3
const MAX_VISITORS = 1_000
/** The number of messages that are kept for new visitors. */
const HISTORY = 50

/** In the order in which they came: the first ones sit in the room, the others wait before it. */
let here: Visitor[] = []
let history: Said[] = []

const inside = () => here.slice(0, SEATS)

/** Whether nobody can come in, not even into the lobby. */
export const isFull = () => here.length >= MAX_VISITORS

/** Gives a visitor a seat, or the last place in the line, until the function that it returns is called. */
export function enter(session: string, name: string, emit: Emit): () => void {
  const visitor = { session, name, emit }
  here.push(visitor)
  welcome(visitor, here.length - 1)
  tellAll()
  return () => {
    const place = here.indexOf(visitor)
    here = here.filter((other) => other !== visitor)
    // The next one has moved up to the last seat.
    if (place < SEATS && here.length >= SEATS) welcome(here[SEATS - 1], SEATS - 1)
    tellAll()
  }
}

/** Sends a message to the visitors inside; returns false if the sender is not inside. */
export function say(session: string, text: string): boolean {
  const visitor = inside().find((visitor) => visitor.session === session)
  if (!visitor) return false
  const said: Said = { from: visitor.name, text, at: Date.now() }
  history = [...history, said].slice(-HISTORY)
  for (const { emit } of inside()) emit('said', JSON.stringify(said))
  return true
}

function welcome({ emit }: Visitor, place: number) {
  if (place < SEATS) emit('history', JSON.stringify(history))
}

function tellAll() {
  const names = here.map(({ name }) => name)
  const people: People = { seats: SEATS, inside: names.slice(0, SEATS), waiting: names.slice(SEATS) }
  here.forEach(({ emit }, place) => {
    emit('people', JSON.stringify(people))
    emit('place', String(Math.max(0, place - SEATS + 1)))
  })
}
