/** Runs the sample, which begins to listen when it is loaded. */
export async function POST() {
  await import('$lib/forward')
  return new Response()
}
