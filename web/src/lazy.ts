/** What is loaded when it is first needed. */
export const loadEngine = () => import('./engine/engine.js')
export const loadProducing = () => import('./producing.js')
