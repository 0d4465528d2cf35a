import { produce } from 'ssekit'
export function POST() {
  return produce(function start({ emit, lock }) {
    lock.set(false)
    const { error } = emit('message', 'I have a bad feeling about this...')
    if (error) {
      console.error(error)
      return
    }
  })
}
