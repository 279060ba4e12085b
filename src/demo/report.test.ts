import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { createReport, exactBytes, mebibytes } from './report.ts'

function plainReport() {
  const stream = new PassThrough()
  const report = createReport(stream as unknown as NodeJS.WriteStream)
  return { report, text: () => String(stream.read() ?? '') }
}

test('counts a check that does not hold as a failure', () => {
  const { report, text } = plainReport()
  report.check(true, 'one')
  report.check(false, 'two')
  assert.deepEqual([report.checks, report.failures], [2, 1])
  assert.equal(text(), '   ✓ one\n   ✗ two\n')
})

test('keeps colours and progress away from what is no terminal', () => {
  const { report, text } = plainReport()
  report.part('A part')
  report.progress('never seen')
  report.quote('a\nb')
  const written = text()
  assert.ok(!written.includes('\x1b'))
  assert.ok(!written.includes('never seen'))
  assert.match(written, /^\n1\. A part {2}\[0 s\]\n {3}\| a\n {3}\| b\n$/)
})

test('aligns the columns of a table', () => {
  const { report, text } = plainReport()
  report.table([
    ['a', 'long', ''],
    ['longer', 'b', 'c'],
  ])
  assert.equal(text(), '   a       long\n   longer  b     c\n')
})

test('shows bytes to the byte and in MiB', () => {
  assert.equal(exactBytes(1234567), '1 234 567 B')
  assert.equal(exactBytes(-12345), '-12 345 B')
  assert.equal(exactBytes(12), '12 B')
  assert.equal(mebibytes(1.5 * 2 ** 20), '1.5 MiB')
})
