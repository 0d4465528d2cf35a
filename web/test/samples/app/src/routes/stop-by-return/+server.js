import { produce } from 'ssekit'
export function POST() {
  return produce(function start({ emit, lock }) {
    emit('message', 'hello')
    return function cancel() {
      console.log('Connection canceled.')
    }
  })
}
