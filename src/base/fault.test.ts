import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { describeWithAdvice, Fault, fileFault, isFault } from './fault.ts'

/** As Node makes them. */
function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: a text, write`), { code, syscall: 'write' })
}

describe('a failure of a file', () => {
  it('of a disk that takes no more is told with what to do', () => {
    for (const [code, advice] of [
      ['ENOSPC', /free space on that file system$/],
      ['EDQUOT', /free space on that file system$/],
      ['EFBIG', /ulimit -f/],
    ] as const) {
      const fault = fileFault(systemError(code), 'cannot write x to /d')
      assert.ok(isFault(fault, 'no-space'), code)
      assert.match(describeWithAdvice(fault), new RegExp(`^cannot write x to /d: ${code}: a text`))
      assert.match(describeWithAdvice(fault), advice)
    }
  })

  it('that is none of the system passes unchanged', () => {
    const error = new TypeError('a bug')
    assert.equal(fileFault(error, 'writing'), error)
    assert.equal(describeWithAdvice(error), 'a bug')
  })

  it('is told with the advice of the first cause that has one', () => {
    const inner = new Fault('unfit', 'wal_level is minimal', { hint: 'set wal_level = replica' })
    const outer = new Fault('transient', 'no backup was taken', { cause: inner })
    assert.equal(
      describeWithAdvice(outer),
      'no backup was taken (caused by: wal_level is minimal); set wal_level = replica',
    )
  })
})
