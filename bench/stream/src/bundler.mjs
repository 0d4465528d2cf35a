// What a bundler does for the package: its imports have no file extension. (Its `svelte` export is a flag of node.)
import { register } from 'node:module'

export async function resolve(specifier, context, next) {
  const isOfThePackage = context.parentURL?.includes('/node_modules/sveltekit-sse/')
  const hasNoExtension = specifier.startsWith('./') && !specifier.endsWith('.js')
  return next(isOfThePackage && hasNoExtension ? `${specifier}.js` : specifier, context)
}

if (!new URL(import.meta.url).searchParams.has('hooks')) {
  register(`${import.meta.url}?hooks`)
}
