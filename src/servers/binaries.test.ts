import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { isFault } from '../base/fault.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { installedMajors, locateBinaries } from './binaries.ts'
import { mirrorPrograms } from './mirror.ts'
import { resolveServerUser, spawnIds } from './server-user.ts'

const run = promisify(execFile)

describe('the programs of a version', () => {
  it('are found by its major, in the package of this machine', async () => {
    const { postgres, major } = await locateBinaries('18.4', null, '/nowhere')
    assert.equal(major, 18)
    assert.match((await run(postgres, ['--version'])).stdout, /PostgreSQL\) 18\./)
  })

  it('are asked for by the name of the package that is missing', async () => {
    await assert.rejects(
      locateBinaries('16', null, '/nowhere', 'file:///nowhere/module.js'),
      (error) => isFault(error, 'unfit') && /postgres16-linux-/.test(error.message),
    )
  })

  it('are there of each major whose package is installed, and of no other', async () => {
    assert.deepEqual(installedMajors(), ['15', '16', '17', '18'])
    await using folder = await temporaryFolder('majors')
    const beside = `file://${folder.path}/module.js`
    assert.deepEqual(installedMajors(beside), [])
    const dist = join(folder.path, 'node_modules', `postgres17-linux-${process.arch}`, 'dist')
    await mkdir(dist, { recursive: true })
    const description = JSON.stringify({ exports: './dist/index.js' })
    await writeFile(join(dist, '..', 'package.json'), description)
    await writeFile(join(dist, 'index.js'), '')
    assert.deepEqual(installedMajors(beside), ['17'])
  })

  for (const version of ['14', '8', 'eighteen', '']) {
    it(`are refused for "${version}"`, async () => {
      await assert.rejects(locateBinaries(version, null, '/nowhere'), (error) =>
        isFault(error, 'unfit'),
      )
    })
  }

  it('run as the server user from a mirror, which is made once', async () => {
    await using folder = await temporaryFolder('mirror')
    const user = await resolveServerUser(null, process.getuid?.() ?? -1)
    const { postgres } = await locateBinaries('18', null, '/nowhere')
    const packageDirectory = dirname(dirname(dirname(postgres)))
    const target = join(folder.path, 'programs')
    const mirror = () => mirrorPrograms(packageDirectory, 'postgres18', user, target)
    const [first, second] = await Promise.all([mirror(), mirror()])
    assert.equal(first, second)
    assert.deepEqual((await readdir(target)).length, 1)
    const { ino } = await stat(first)
    assert.equal(await mirror(), first)
    assert.equal((await stat(first)).ino, ino)
    const options = { ...spawnIds(user), cwd: '/' }
    const { stdout } = await run(join(first, 'bin', 'postgres'), ['--version'], options)
    assert.match(stdout, /PostgreSQL\) 18\./)
  })
})
