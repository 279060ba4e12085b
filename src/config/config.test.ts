import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { loadConfig } from './config.ts'

test('reports all problems at once', () => {
  const loaded = loadConfig(
    {
      HOLDFAST_DATA: '/d',
      HOLDFAST_LISTEN: '0.0.0.0:8787',
      HOLDFAST_ACCESS_KEY_ID: 'only-the-id',
      HOLDFAST_REGION: 'Not A Region',
    },
    '/',
    false,
  )
  assert.equal(loaded.ok, false)
  assert.equal(loaded.problems.length, 3)
  assert.match(loaded.problems.join('\n'), /beyond loopback/)
})

test('keeps storage and key inside the data folder unless told otherwise', () => {
  const loaded = loadConfig({ HOLDFAST_DATA: 'data' }, '/srv', false)
  assert.ok(loaded.ok)
  assert.equal(loaded.config.dataDirectory, '/srv/data')
  assert.equal(loaded.config.storageDirectory, '/srv/data/storage')
  assert.equal(loaded.config.keyFile, '/srv/data/key')
  assert.deepEqual(loaded.config.listen, { host: '127.0.0.1', port: 8787 })
})

for (const listen of [
  '127.0.0.1',
  'localhost:99999',
  ':8787',
  '8787',
  'example.org:80',
  '[::]:1',
]) {
  test(`refuses HOLDFAST_LISTEN=${listen}`, () => {
    assert.equal(loadConfig({ HOLDFAST_DATA: '/d', HOLDFAST_LISTEN: listen }, '/', false).ok, false)
  })
}

for (const listen of ['127.0.0.1:0', 'localhost:8787', '[::1]:8787', '127.1.2.3:80']) {
  test(`accepts HOLDFAST_LISTEN=${listen}`, () => {
    assert.equal(loadConfig({ HOLDFAST_DATA: '/d', HOLDFAST_LISTEN: listen }, '/', false).ok, true)
  })
}

test('never prints the secret of the access key', () => {
  const loaded = loadConfig(
    {
      HOLDFAST_DATA: '/d',
      HOLDFAST_ACCESS_KEY_ID: 'id',
      HOLDFAST_ACCESS_KEY_SECRET: 'very-secret-value',
    },
    '/',
    false,
  )
  assert.ok(loaded.ok)
  assert.doesNotMatch(inspect(loaded, { depth: 9 }), /very-secret-value/)
  assert.doesNotMatch(JSON.stringify(loaded), /very-secret-value/)
})

test('keeps data in the home folder, but not in that of root, which others cannot pass', () => {
  const homeOf = (root: boolean) => loadConfig({ HOME: '/home/of' }, '/', root)
  const [own, roots] = [homeOf(false), homeOf(true)]
  assert.ok(own.ok && roots.ok)
  assert.equal(own.config.dataDirectory, '/home/of/.holdfast')
  assert.equal(roots.config.dataDirectory, '/var/lib/holdfast')
  assert.equal(loadConfig({}, '/', false).ok, false)
})
