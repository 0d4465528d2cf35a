import { error } from '@sveltejs/kit'
import { say } from '$lib/server/room'

export async function POST({ request }) {
  const { session, text } = await request.json()
  if (typeof text !== 'string' || !/^.{1,300}$/s.test(text.trim())) {
    error(400, 'a message has 1 to 300 characters')
  }
  if (!say(session, text.trim())) error(403, 'only visitors in the room can speak')
  return new Response(null, { status: 204 })
}
