import { produce } from 'ssekit'
import { listen } from '$lib/server/machine'

export function POST() {
  return produce(({ emit }) => listen(emit))
}
