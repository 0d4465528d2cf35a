import { produce } from 'ssekit'

/** Says what the sample "custom headers" has sent. */
export function POST({ request }) {
  return produce(({ emit }) => void emit('message', `authorization: ${request.headers.get('authorization')}`))
}
