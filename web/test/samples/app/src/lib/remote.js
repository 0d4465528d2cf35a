// Stands for the remote system of the sample "forced detection".
import { EventEmitter } from 'node:events'

const remote = new EventEmitter()

export const someRemoteEvent = (name, run) => remote.on(name, run)
export const happen = (data) => remote.emit('incoming-data', data)
