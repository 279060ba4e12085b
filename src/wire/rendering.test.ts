import assert from 'node:assert/strict'
import { it } from 'node:test'
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { ApiError } from './errors.ts'
import { renderError, renderReply } from './rendering.ts'

const CONTEXT = { requestId: 'ID', hostId: 'host', recommend: 'http://host/?q=a&b=c' }

it('writes a reply of one key as the vendor does, in both formats', () => {
  assert.equal(renderReply('JSON', 'DeleteBackup', 'ID', {}).body, '{"RequestId":"ID"}')
  assert.equal(
    renderReply('XML', 'DeleteBackup', 'ID', {}).body,
    '<?xml version="1.0" encoding="UTF-8" ?>' +
      '<DeleteBackupResponse><RequestId>ID</RequestId></DeleteBackupResponse>',
  )
})

it('repeats the element of a list, keeps an empty list, leaves out what is undefined', () => {
  const reply = {
    Items: { Backup: [{ Id: '7', Size: 1, Held: false, Note: undefined }, { Id: '8' }] },
    Empty: { Backup: [] },
    Names: { Name: ['a', 'b'] },
  }
  const { body } = renderReply('XML', 'X', 'ID', reply)
  assert.match(
    body,
    /<Items><Backup><Id>7<\/Id><Size>1<\/Size><Held>false<\/Held><\/Backup><Backup><Id>8<\/Id>/,
  )
  assert.match(body, /<Empty><\/Empty><Names><Name>a<\/Name><Name>b<\/Name><\/Names>/)
  assert.match(renderReply('JSON', 'X', 'ID', reply).body, /"Empty":\{"Backup":\[\]\}/)
})

it('carries any text: what XML cannot hold is replaced, everything else comes back the same', () => {
  const kept = `<&>"' ]]> \t\n\r é 中 😀 \u007f`
  const { body } = renderReply('XML', 'X', 'ID', { Kept: kept, Lost: '\u0000\u001b\ud800\uffff' })
  assert.equal(XMLValidator.validate(body), true)
  const parser = new XMLParser({ trimValues: false, htmlEntities: true })
  const { XResponse } = parser.parse(body)
  assert.equal(XResponse.Kept, kept)
  assert.equal(XResponse.Lost, '\ufffd\ufffd\ufffd\ufffd')
})

it('writes errors with everything that the clients look for', () => {
  const error = new ApiError('IncorrectDBInstanceState', 403, 'It is <not>.')
  const json = renderError('JSON', error, CONTEXT)
  assert.equal(json.contentType, 'application/json;charset=utf-8')
  assert.deepEqual(JSON.parse(json.body), {
    RequestId: 'ID',
    HostId: 'host',
    Code: 'IncorrectDBInstanceState',
    Message: 'It is <not>.',
    Recommend: 'http://host/?q=a&b=c',
  })
  const xml = renderError('XML', error, CONTEXT)
  assert.equal(xml.contentType, 'text/xml;charset=utf-8')
  assert.equal(
    xml.body,
    "<?xml version='1.0' encoding='UTF-8'?><Error><RequestId>ID</RequestId><HostId>host</HostId>" +
      '<Code>IncorrectDBInstanceState</Code><Message>It is &lt;not&gt;.</Message>' +
      '<Recommend>http://host/?q=a&amp;b=c</Recommend></Error>',
  )
})
