import assert from 'node:assert/strict'
import { test } from 'node:test'
import { siblingModule } from './sibling-module.ts'

for (const [url, found] of [
  ['file:///w/src/base/reaper.ts', 'file:///w/src/base/thread.ts'],
  ['file:///w/dist/base/reaper.js', 'file:///w/dist/base/thread.js'],
] as const) {
  test(`finds the module beside ${url} in its own language`, () => {
    assert.equal(siblingModule('./thread', url).href, found)
  })
}

test('finds modules of other folders', () => {
  const url = siblingModule('../cli/main', 'file:///w/dist/demo/service-process.js')
  assert.equal(url.href, 'file:///w/dist/cli/main.js')
})
