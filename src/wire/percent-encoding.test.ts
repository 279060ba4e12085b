import assert from 'node:assert/strict'
import { it } from 'node:test'
import { percentDecode, percentEncode } from './percent-encoding.ts'

it('encodes all but the unreserved characters, in upper case', () => {
  assert.equal(percentEncode("a b*c~d'(e)!+/%中"), 'a%20b%2Ac~d%27%28e%29%21%2B%2F%25%E4%B8%AD')
  assert.equal(percentEncode('AZaz09-_.~'), 'AZaz09-_.~')
})

it('decodes what it encodes, a plus as a space, and digits in either case', () => {
  for (const text of ["a b*c~d'(e)!+/%中", '😀', '\ufeffx', '']) {
    assert.equal(percentDecode(percentEncode(text)), text)
  }
  assert.equal(percentDecode('a+b%2b%2B'), 'a b++')
})

it('decodes nothing that is cut short or not UTF-8', () => {
  for (const text of ['%', '%4', '%4g', '%%41', '%c0%80', '%ed%a0%80', '%ff', '\u00e4']) {
    assert.equal(percentDecode(text), null)
  }
})
