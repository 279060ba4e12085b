import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { configurationPage } from './configuration-page.ts'
import { SETTING_ROWS } from './settings.ts'

const PAGE = new URL('../../docs/operations/configuration.md', import.meta.url)

test('keeps the reference page equal to the settings that the code reads', () => {
  assert.equal(
    readFileSync(PAGE, 'utf8'),
    configurationPage(),
    'run script/write-configuration-page.ts',
  )
})

test('describes every setting exactly once', () => {
  const rows = configurationPage().matchAll(/^\| `(HOLDFAST_[A-Z_]+)` \|/gm)
  const described = [...rows].map(([, name]) => name)
  assert.deepEqual(described.sort(), SETTING_ROWS.map(({ name }) => name).sort())
  assert.equal(new Set(described).size, described.length)
})
