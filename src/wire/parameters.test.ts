import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { z } from 'zod'
import { apiError } from './errors.ts'
import {
  choice,
  flag,
  moment,
  parameterFacts,
  readParameters,
  splitIds,
  text,
  wholeNumber,
} from './parameters.ts'

describe('splitIds', () => {
  const lists: readonly (readonly [string, readonly string[]])[] = [
    ['7', ['7']],
    [' 7 , 8,', ['7', '8']],
    ['8,7,8', ['8', '7']],
    ['007,7', ['007', '7']],
    ['pgm-a:7,pgm-b:8', ['7', 'pgm-b:8']],
    ['pgm-a:pgm-a:7', ['pgm-a:7']],
    ['pgm-a:7,7', ['7']],
    [',, ,pgm-a:', []],
    ['', []],
  ]
  for (const [list, ids] of lists) {
    it(`D12–D14: takes ${JSON.stringify(list)} apart`, () => {
      assert.deepEqual(splitIds(list, 'pgm-a'), ids)
    })
  }
})

describe('readParameters', () => {
  const schema = z.object({
    DBInstanceId: text('', ''),
    BackupId: text('', ''),
    PageNumber: wholeNumber('', '', {
      min: 1,
      max: 100,
      error: 'InvalidPageNumbers.Malformed',
    }).optional(),
    PageSize: wholeNumber('', '', { min: 30, max: 100 }).default(30),
    Mode: choice(['Automated', 'Manual'], '', '').optional(),
    StartTime: moment('', '', { error: 'InvalidStartTime.Format' }).optional(),
    Wanted: flag('', '').optional(),
    Password: text('', '', { secret: true }).optional(),
  })
  const read = (given: Record<string, string>) =>
    readParameters(schema, new Map(Object.entries(given)), (code) => apiError(code))
  const both = { DBInstanceId: 'pgm-a', BackupId: '7' }

  it('reads what is declared, ignores what is not, and fills in defaults', () => {
    const given = { PageNumber: '2', Mode: 'Manual', Wanted: 'True', 'Tag.1.Key': 'x', '': 'y' }
    const StartTime = '2026-11-24T07:05Z'
    assert.deepEqual(read({ ...both, ...given, StartTime }), {
      ...both,
      PageNumber: 2,
      PageSize: 30,
      Mode: 'Manual',
      StartTime: 1795503900000,
      Wanted: true,
    })
  })

  it('names the parameter, and what it may be, where the declared code is the general one', () => {
    const rated = z.object({
      MaxRate: wholeNumber('kB per second, 32–64.', '', {
        min: 32,
        max: 64,
        error: 'InvalidParameter',
      }),
    })
    const details: (string | undefined)[] = []
    const refuse = (code: Parameters<typeof apiError>[0], detail?: string) => {
      details.push(detail)
      return apiError(code)
    }
    assert.throws(() => readParameters(rated, new Map([['MaxRate', '1']]), refuse), {
      code: 'InvalidParameter',
    })
    assert.deepEqual(details, ['MaxRate: kB per second, 32–64.'])
  })

  it('takes an empty value as absent', () => {
    assert.deepEqual(read({ ...both, PageNumber: '', PageSize: '' }), { ...both, PageSize: 30 })
  })

  it('names the first mandatory parameter that is absent, before it judges any value', () => {
    for (const given of [{}, { DBInstanceId: '' }, { dbinstanceid: 'pgm-a', PageNumber: 'x' }]) {
      assert.throws(() => read(given), {
        code: 'MissingDBInstanceId',
        status: 400,
        message: 'DBInstanceId is mandatory for this action.',
      })
    }
    assert.throws(() => read({ DBInstanceId: 'pgm-a' }), { code: 'MissingBackupId' })
  })

  const bad: readonly (readonly [Record<string, string>, string])[] = [
    [{ PageNumber: '0' }, 'InvalidPageNumbers.Malformed'],
    [{ PageNumber: '1.5' }, 'InvalidPageNumbers.Malformed'],
    [{ PageNumber: '1e1' }, 'InvalidPageNumbers.Malformed'],
    [{ PageSize: '29' }, 'InvalidPageSize'],
    [{ Mode: 'manual' }, 'InvalidMode'],
    [{ StartTime: '2026-02-30T00:00Z' }, 'InvalidStartTime.Format'],
    [{ Wanted: 'yes' }, 'InvalidWanted'],
  ]
  for (const [given, code] of bad) {
    it(`refuses ${JSON.stringify(given)}`, () => {
      assert.throws(() => read({ ...both, ...given }), { code })
    })
  }

  it('keeps the facts of a parameter under optional and default', () => {
    assert.equal(parameterFacts(schema.shape.Password)?.secret, true)
    assert.equal(parameterFacts(schema.shape.PageSize)?.secret, false)
    assert.equal(parameterFacts(z.string()), null)
  })
})
