import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CHECKOUT } from '../../src/testing/installed-package.ts'
import { LAYERS } from '../../src/tidy-rules.ts'

const exists = async (path: string) => (await stat(path).catch(() => null)) !== null

/** Of what a page names in backticks: paths, which have a slash or an ending that files here have. */
function pathsIn(text: string): string[] {
  const named = [...text.matchAll(/`([a-z0-9./_-]+)`/g)].map((match) => match[1] ?? '')
  return named.filter((name) => /^[a-z].*(\/|\.(ts|md|json)$)/.test(name))
}

for (const layer of Object.keys(LAYERS)) {
  test(`the layer ${layer} says what it is for, naming only files that exist`, async () => {
    const folder = join(CHECKOUT, 'src', layer)
    const text = await readFile(join(folder, 'README.md'), 'utf8')
    assert.ok(text.startsWith(`# ${layer}\n`))
    assert.match(text, /\*\*Contract\.\*\*.*\*\*Pitfalls\.\*\*.*\*\*Not here\.\*\*/s)
    for (const name of pathsIn(text)) {
      const places = [folder, join(CHECKOUT, 'src'), CHECKOUT].map((place) => join(place, name))
      const found = await Promise.all(places.map(exists))
      assert.ok(found.includes(true), `${layer}: ${name}`)
    }
  })
}

test('every folder of a layer is a layer, and CONTRIBUTING.md names only files that exist', async () => {
  const entries = await readdir(join(CHECKOUT, 'src'), { withFileTypes: true })
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  assert.deepEqual(folders.sort(), Object.keys(LAYERS).sort())
  const text = await readFile(join(CHECKOUT, 'CONTRIBUTING.md'), 'utf8')
  // What a build makes, and what is named within the folder that the sentence is about.
  const elsewhere = new Set(['dist/', 'all.ts', 'x.test.ts'])
  for (const name of pathsIn(text).filter((path) => !elsewhere.has(path))) {
    assert.ok(await exists(join(CHECKOUT, name)), name)
  }
})
