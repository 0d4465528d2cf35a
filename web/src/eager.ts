/** Replaces lazy.ts where everything is in one file. */
import * as engine from './engine/engine.js'
import * as producer from './producer.js'

export const loadEngine = async () => engine
export const loadProducer = async () => producer
