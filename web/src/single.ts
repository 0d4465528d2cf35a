/** The client in one file, for pages without a build step. A page produces no events. */
// In front of the code: in its midst, both would compress less.
import 'ssekit:wasm'

export { LaggedError, source, SourceError } from './index.js'
export type * from './types.js'
