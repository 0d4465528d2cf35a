import { fileURLToPath } from 'node:url'

/** The folder of the npm package. */
export const web = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
/** The folder of the repository. */
export const repository = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')
/** Where tests put what they build; under `web/`, so that servers find it at `cacheUrl`. */
export const cache = `${web}/node_modules/.cache/ssekit`
export const cacheUrl = '/node_modules/.cache/ssekit'
