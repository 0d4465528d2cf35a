/** Modules that are loaded when they are first needed. */
export const loadEngine = () => import('./engine/engine.js')
export const loadProducer = () => import('./producer.js')
