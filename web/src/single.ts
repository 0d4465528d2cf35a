/** The client in one file, for pages without a build step. A page produces no events. */
export { LaggedError, source, SourceError } from './index.js'
export type * from './types.js'
