/** In the place of lazy.ts, where everything is in one file. */
import * as engine from './engine/engine.js'
import * as producing from './producing.js'

export const loadEngine = async () => engine
export const loadProducing = async () => producing
