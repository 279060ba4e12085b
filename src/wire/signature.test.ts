import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { signV1, stringToSignV1 } from './signature-v1.ts'
import {
  formatAuthorizationV3,
  headersToSign,
  parseAuthorizationV3,
  sha256Hex,
  signV3,
  stringToSignV3,
} from './signature-v3.ts'

interface Vectors {
  readonly v1: readonly {
    readonly name: string
    readonly secret: string
    readonly method: string
    readonly parameters: Readonly<Record<string, string>>
    readonly stringToSign?: string
    readonly signature: string
  }[]
  readonly v3: readonly {
    readonly name: string
    readonly secret: string
    readonly method: string
    readonly query: Readonly<Record<string, string>>
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
    readonly canonicalRequestSha256: string
    readonly signature: string
  }[]
}

const file = new URL('../../tests/vectors/signatures.json', import.meta.url)
const vectors = JSON.parse(await readFile(file, 'utf8')) as Vectors

describe('signature version 1', () => {
  for (const vector of vectors.v1) {
    it(`signs as the vendor's code does: ${vector.name}`, () => {
      const parameters = new Map(Object.entries(vector.parameters))
      const stringToSign = stringToSignV1(vector.method, parameters)
      if (vector.stringToSign) assert.equal(stringToSign, vector.stringToSign)
      assert.equal(signV1(vector.secret, stringToSign), vector.signature)
      assert.equal(
        stringToSignV1(vector.method, new Map([['Signature', 'x'], ...parameters])),
        stringToSign,
      )
    })
  }

  it('signs a parameter with an empty name', () => {
    const parameters = new Map([
      ['', 'x'],
      ['A', ''],
    ])
    assert.equal(stringToSignV1('GET', parameters), 'GET&%2F&%3Dx%26A%3D')
  })
})

describe('signature version 3', () => {
  for (const vector of vectors.v3) {
    it(`signs as the vendor's code does: ${vector.name}`, () => {
      const headers = new Map(Object.entries(vector.headers))
      const stringToSign = stringToSignV3({
        method: vector.method,
        query: new Map(Object.entries(vector.query)),
        headers,
        signedHeaders: headersToSign(headers.keys()),
        contentSha256: sha256Hex(vector.body),
      })
      assert.equal(stringToSign, `ACS3-HMAC-SHA256\n${vector.canonicalRequestSha256}`)
      assert.equal(signV3(vector.secret, stringToSign), vector.signature)
    })
  }

  it('reads the header that it writes, and nothing that only looks like it', () => {
    const authorization = {
      accessKeyId: 'testAccessKeyId',
      signedHeaders: ['host', 'x-acs-date'],
      signature: 'ab'.repeat(32),
    }
    const header = formatAuthorizationV3(authorization)
    assert.deepEqual(parseAuthorizationV3(header), authorization)
    assert.equal(parseAuthorizationV3(`${header}0`), null)
    assert.equal(parseAuthorizationV3(header.replace('SHA256', 'SM3')), null)
    assert.equal(parseAuthorizationV3(header.replace('Credential=', 'Credential=,')), null)
  })
})
