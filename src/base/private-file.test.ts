import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isOpenToOthers } from './private-file.ts'

for (const [mode, uid, open] of [
  [0o100600, 1000, false],
  [0o100400, 1000, false],
  [0o100640, 1000, true],
  [0o100640, 0, false],
  [0o100440, 0, false],
  [0o100660, 0, true],
  [0o100644, 0, true],
  [0o100604, 1000, true],
  [0o100601, 1000, true],
] as const) {
  test(`a file of mode ${mode.toString(8)} of user ${uid} is ${open ? '' : 'not '}open to others`, () => {
    assert.equal(isOpenToOthers({ mode, uid }), open)
  })
}
