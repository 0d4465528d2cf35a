import { happen } from '$lib/remote'

/** What the tests make happen. */
export async function POST({ request }) {
  happen(await request.text())
  return new Response()
}
