// A program that uses every type, and the README's longest sample, checked strictly, in both ways in which TypeScript finds packages.

import { readFileSync } from 'node:fs'
import { before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { makeApp } from '../support/app.mjs'
import { sample } from '../support/samples.mjs'

let app

before(async () => {
  const text = readFileSync(fileURLToPath(new URL('types.ts', import.meta.url)), 'utf8')
  app = await makeApp('types', {
    files: { 'types.ts': text, 'more.ts': sample('more') },
    packages: { '@types/node': '26.6.7', '@types/react': '19.3.0', 'typescript-5': 'npm:typescript@5.9.3', 'typescript-7': 'npm:typescript@7.0.2' },
  })
})

const STRICT = ['--strict', '--noEmit', '--target', 'es2022', '--lib', 'es2022,dom,dom.iterable', '--types', 'node', '--exactOptionalPropertyTypes']

for (const [version, module, resolution] of [
  ['typescript-5', 'esnext', 'bundler'],
  ['typescript-7', 'esnext', 'bundler'],
  ['typescript-7', 'node16', 'node16'],
]) {
  test(`${version}, ${resolution}`, async () => {
    const sources = ['types.ts', 'more.ts']
    await app.node(`${version}/bin/tsc`, ...STRICT, '--module', module, '--moduleResolution', resolution, ...sources)
  })
}
