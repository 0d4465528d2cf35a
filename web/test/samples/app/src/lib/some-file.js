// some-file.js
import { clients } from '$lib/clients'
export function greet() {
  return clients.get('some-session-id')('message', 'hello')
}
