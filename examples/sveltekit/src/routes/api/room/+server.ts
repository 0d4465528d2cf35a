import { error } from '@sveltejs/kit'
import { produce } from 'ssekit'
import { enter, isFull } from '$lib/server/room'

export async function POST({ request }) {
  const { session, name } = await request.json()
  if (typeof session !== 'string' || !/^.{1,64}$/.test(session)) {
    error(400, 'a session has 1 to 64 characters')
  }
  if (typeof name !== 'string' || !/^.{1,24}$/.test(name.trim())) {
    error(400, 'a name has 1 to 24 characters on one line')
  }
  if (isFull()) error(503, 'the lobby is full') // pages ask again, later and later
  // The visitor leaves, and the next one enters, when the page is gone.
  return produce(({ emit }) => enter(session, name.trim(), emit), { ping: 3_000 })
}
