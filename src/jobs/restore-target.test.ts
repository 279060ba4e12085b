import assert from 'node:assert/strict'
import { mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isFault } from '../base/fault.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { placeTablespaces } from './restore-tablespaces.ts'
import { claimTarget, claimTargets, MARKER, type RestoreTarget } from './restore-target.ts'

const dead = async () => false

function claimer(holder: string): (directory: string) => Promise<RestoreTarget> {
  return (directory) => claimTarget(directory, holder, dead)
}

describe('the folders of a restore with tablespaces', () => {
  it('are all marked until it is finished, and none afterwards', async () => {
    await using folder = await temporaryFolder('targets')
    const main = join(folder.path, 'main')
    const space = join(folder.path, 'deep', 'space')
    {
      await using target = await claimTargets(main, [space], 0, claimer('one'))
      assert.deepEqual(await readdir(space), [MARKER])
      assert.equal((await stat(space)).mode & 0o777, 0o700)
      const passable = await stat(join(folder.path, 'deep'))
      assert.equal(passable.mode & 0o755, 0o755)
      await target.finish()
    }
    assert.deepEqual(await readdir(main), [])
    assert.deepEqual(await readdir(space), [])
  })

  it('are all gone when it fails, but for what was there before', async () => {
    await using folder = await temporaryFolder('targets')
    const main = join(folder.path, 'main')
    const space = join(folder.path, 'space')
    await mkdir(space)
    {
      await using _ = await claimTargets(main, [space], 0, claimer('one'))
      await writeFile(join(space, 'half'), 'x')
      await mkdir(join(main, 'pg_tblspc'))
      await symlink(space, join(main, 'pg_tblspc', '1'))
    }
    assert.deepEqual(await readdir(folder.path), ['space'])
    assert.deepEqual(await readdir(space), [])
  })

  it('are taken over from a restore that died, with what it had written', async () => {
    await using folder = await temporaryFolder('targets')
    const main = join(folder.path, 'main')
    const space = join(folder.path, 'space')
    // Neither finished nor disposed: its process was killed.
    await claimTargets(main, [space], 0, claimer('dead'))
    await writeFile(join(space, 'half'), 'x')
    await mkdir(join(main, 'pg_tblspc'))
    await symlink(space, join(main, 'pg_tblspc', '1'))
    await using _ = await claimTargets(main, [space], 0, claimer('next'))
    assert.deepEqual(await readdir(main), [MARKER])
    assert.deepEqual(await readdir(space), [MARKER])
  })

  it('are taken over from a restore that was killed while it took its marks off', async () => {
    await using folder = await temporaryFolder('targets')
    const main = join(folder.path, 'main')
    const space = join(folder.path, 'space')
    const claim = async (directory: string): Promise<RestoreTarget> => {
      const target = await claimTarget(directory, 'killed', dead)
      const killed = () => Promise.reject(new Error('killed'))
      return directory === main ? { ...target, finish: killed } : target
    }
    const killed = await claimTargets(main, [space], 0, claim)
    await writeFile(join(space, 'whole'), 'x')
    await assert.rejects(killed.finish(), /killed/)
    assert.deepEqual(await readdir(space), ['whole'])
    await using _ = await claimTargets(main, [space], 0, claimer('next'))
    assert.deepEqual(await readdir(space), [MARKER])
  })

  it('are left alone when they hold what no restore put there', async () => {
    await using folder = await temporaryFolder('targets')
    const main = join(folder.path, 'main')
    const space = join(folder.path, 'space')
    await mkdir(space)
    await writeFile(join(space, 'precious'), 'x')
    await mkdir(main)
    await writeFile(join(main, MARKER), 'killed before it claimed the other')
    await assert.rejects(claimTargets(main, [space], 0, claimer('next')), /not empty/)
    assert.deepEqual(await readdir(space), ['precious'])
  })

  it('are recognised when a takeover was killed while it emptied them', async () => {
    await using folder = await temporaryFolder('targets')
    const main = join(folder.path, 'main')
    await mkdir(main)
    await writeFile(join(main, `${MARKER}.killed`), 'earlier')
    await writeFile(join(main, 'half'), 'x')
    const lives = async (holder: string) => holder === 'killed'
    await assert.rejects(claimTarget(main, 'next', lives), /another restore is filling/)
    await using _ = await claimTarget(main, 'next', dead)
    assert.deepEqual(await readdir(main), [MARKER])
  })

  it('keep their mark on the main one while any other has not been finished', async () => {
    await using folder = await temporaryFolder('targets')
    const main = join(folder.path, 'main')
    const claim = async (directory: string): Promise<RestoreTarget> => {
      const target = await claimTarget(directory, 'one', dead)
      if (directory === main) return target
      const finish = () => Promise.reject(new Error('the disk is gone'))
      return { finish, [Symbol.asyncDispose]: async () => {} }
    }
    const target = await claimTargets(main, [join(folder.path, 'space')], 0, claim)
    await assert.rejects(target.finish(), /the disk is gone/)
    assert.deepEqual(await readdir(main), [MARKER])
  })

  it('need room for the set on the file systems that they are on', async () => {
    await using folder = await temporaryFolder('targets')
    const main = join(folder.path, 'main')
    const space = join(folder.path, 'deep', 'space')
    await assert.rejects(claimTargets(main, [space], 2 ** 60, claimer('one')), (error) =>
      isFault(error, 'no-space'),
    )
    assert.deepEqual(await readdir(folder.path), [])
  })
})

describe('a mapping of tablespaces', () => {
  const state = {
    tablespaces: [
      { oid: 1, location: '/old/a' },
      { oid: 2, location: '/old/b' },
    ],
  }
  const place = (...pairs: [string, string][]) =>
    placeTablespaces(new Map(pairs), state, '/new/main').map(({ oid, directory }) => [
      oid,
      directory,
    ])

  it('finds a tablespace by where it was, however that is written', () => {
    assert.deepEqual(place(['/old/b', '/x/b'], ['/old//a', '/x/../a']), [
      [2, '/x/b'],
      [1, '/a'],
    ])
  })

  const wrong: [string, [string, string][], RegExp][] = [
    ['an unknown location', [['/old/c', '/x']], /no tablespace that was in \/old\/c/],
    [
      'one folder for two',
      [
        ['/old/a', '/x'],
        ['/old/b', '/x/'],
      ],
      /cannot both/,
    ],
    [
      'one within the other',
      [
        ['/old/a', '/x'],
        ['/old/b', '/x/..b'],
      ],
      /cannot both/,
    ],
    ['the target', [['/old/a', '/new/main']], /cannot both/],
    ['a folder around the target', [['/old/a', '/new']], /cannot both/],
    ['a relative folder', [['/old/a', 'x']], /is absolute: x/],
  ]
  for (const [name, pairs, told] of wrong) {
    it(`is refused with ${name}`, () => {
      assert.throws(() => place(...pairs), told)
    })
  }
})
