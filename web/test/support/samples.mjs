import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { web } from './paths.mjs'

/** The code of the README that stands under `<!-- sample: NAME -->`, so that what is documented is what is tested. */
export function sample(name) {
  const readme = readFileSync(join(web, 'README.md'), 'utf8')
  const found = new RegExp(`^<!-- sample: ${name} -->\\n+\`\`\`\\w+\\n([^]*?)^\`\`\`$`, 'm').exec(readme)
  if (!found) throw new Error(`web/README.md has no code under <!-- sample: ${name} -->`)
  return found[1]
}
