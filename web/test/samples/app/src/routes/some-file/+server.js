import { clients } from '$lib/clients'
import { greet } from '$lib/some-file'

/** Who is online. */
export const GET = () => Response.json([...clients.keys()])

/** Runs the sample. */
export function POST() {
  const { error } = greet()
  return new Response(error ? error.message : 'sent')
}
