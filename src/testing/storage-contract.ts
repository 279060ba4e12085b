import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault } from '../base/fault.ts'
import type { Storage } from '../storage/storage.ts'

export interface OpenedStorage extends AsyncDisposable {
  readonly storage: Storage
}

/** Checks what every storage guarantees. `open` yields an empty one; it is called once per test. */
export function storageContract(name: string, open: () => Promise<OpenedStorage>): void {
  for (const [guarantee, check] of Object.entries(GUARANTEES)) {
    test(`${name} ${guarantee}`, async () => {
      await using opened = await open()
      await check(opened.storage)
    })
  }
}

const { signal } = new AbortController()

const GUARANTEES: Readonly<Record<string, (storage: Storage) => Promise<void>>> = {
  'gives back any range of what was written': async (storage) => {
    const written = await storage.write('a/b.0', blocks('hello ', '', 'world'), signal)
    assert.equal(written.sizeBytes, 11)
    assert.equal(await storage.size('a/b.0', signal), 11)
    assert.equal(text(await storage.readRange('a/b.0', 3, 5, signal)), 'lo wo')
    assert.equal((await storage.readRange('a/b.0', 11, 0, signal)).length, 0)
  },

  'stores an object without bytes': async (storage) => {
    await storage.write('empty', [], signal)
    assert.equal(await storage.size('empty', signal), 0)
  },

  'adopts the same bytes and refuses others': async (storage) => {
    await storage.write('x', blocks('same'), signal)
    assert.equal((await storage.write('x', blocks('sa', 'me'), signal)).sizeBytes, 4)
    for (const other of ['other', 'samx', 'sam']) {
      await assert.rejects(storage.write('x', blocks(other), signal), (error) =>
        isFault(error, 'exists'),
      )
    }
    assert.equal(text(await storage.readRange('x', 0, 4, signal)), 'same')
    assert.deepEqual(await names(storage, ''), ['x'])
  },

  'lets one of many writers of a name win': async (storage) => {
    const writes = ['one', 'two', 'three', 'one'].map((bytes) =>
      storage.write('race/object', blocks(bytes), signal),
    )
    const settled = await Promise.allSettled(writes)
    const won = settled.flatMap((result) =>
      result.status === 'fulfilled' ? [result.value.sizeBytes] : [],
    )
    assert.ok(won.length > 0)
    assert.equal(await storage.size('race/object', signal), won[0])
    assert.deepEqual(await names(storage, ''), ['race/object'])
  },

  'tells absent from short': async (storage) => {
    await storage.write('short', blocks('abc'), signal)
    assert.equal(await storage.size('absent', signal), null)
    await assert.rejects(storage.readRange('absent', 0, 1, signal), (error) =>
      isFault(error, 'not-found'),
    )
    await assert.rejects(storage.readRange('short', 1, 3, signal), (error) =>
      isFault(error, 'corrupt'),
    )
  },

  'shows nothing of a write that failed or was aborted': async (storage) => {
    const abort = new AbortController()
    async function* failing(): AsyncIterable<Uint8Array> {
      yield Buffer.from('half')
      throw new Error('the source ended')
    }
    async function* aborting(): AsyncIterable<Uint8Array> {
      yield Buffer.from('half')
      abort.abort(new Error('asked to stop'))
      yield Buffer.from('more')
    }
    await assert.rejects(storage.write('p/failed', failing(), signal), /the source ended/)
    await assert.rejects(storage.write('p/stopped', aborting(), abort.signal), /asked to stop/)
    assert.deepEqual(await names(storage, ''), [])
    await storage.write('p/failed', blocks('whole'), signal)
    assert.deepEqual(await names(storage, ''), ['p/failed'])
  },

  'lists by prefix, with sizes': async (storage) => {
    for (const object of ['s/1/a', 's/1/b', 's/10/a', 't']) {
      await storage.write(object, blocks(object), signal)
    }
    assert.deepEqual(await names(storage, 's/1/'), ['s/1/a', 's/1/b'])
    assert.deepEqual(await names(storage, 's/1'), ['s/1/a', 's/1/b', 's/10/a'])
    assert.deepEqual(await names(storage, 'nothing/here'), [])
    for await (const { name: object, sizeBytes } of storage.list('', signal)) {
      assert.equal(sizeBytes, object.length)
    }
  },

  'removes what is there and forgives what is not': async (storage) => {
    for (const object of ['s/1/a', 's/1/b', 's/2/a']) {
      await storage.write(object, blocks('x'), signal)
    }
    await storage.remove(['s/1/a', 's/1/never', 'no/such/object', 's/2/a'], signal)
    await storage.remove(['s/1/a'], signal)
    assert.deepEqual(await names(storage, ''), ['s/1/b'])
    await storage.write('s/2/a', blocks('again'), signal)
    assert.equal(await storage.size('s/2/a', signal), 5)
  },

  'refuses to start once aborted': async (storage) => {
    const aborted = AbortSignal.abort(new Error('asked to stop'))
    await assert.rejects(storage.write('x', blocks('x'), aborted), /asked to stop/)
    await assert.rejects(storage.remove(['x'], aborted), /asked to stop/)
    assert.equal(await storage.size('x', signal), null)
  },
}

function blocks(...parts: readonly string[]): Uint8Array[] {
  return parts.map((part) => Buffer.from(part))
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8')
}

async function names(storage: Storage, prefix: string): Promise<string[]> {
  const listed = await Array.fromAsync(storage.list(prefix, new AbortController().signal))
  return listed.map((object) => object.name).sort()
}
