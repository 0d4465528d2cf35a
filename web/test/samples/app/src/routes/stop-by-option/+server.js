import { produce } from 'ssekit'
export function POST() {
  return produce(
    function start({ emit, lock }) {
      emit('message', 'hello')
      lock.set(false)
    },
    {
      stop() {
        console.log('Connection stopped.')
      },
    },
  )
}
