import assert from 'node:assert/strict'
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CHECKOUT } from '../../src/testing/installed-package.ts'
import { type Finished, runProgram } from '../../src/testing/run-program.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

const NODE_PACKAGE = `node_modules/node-linux-${process.arch}/bin/node`

/** Programs by their path below the root of a made-up installation: the lines of a shell script. */
type Programs = Readonly<Record<string, string>>

/** Runs the launcher in an installation that has only these programs, and what a system has. */
async function launch(programs: Programs, ...words: readonly string[]): Promise<Finished> {
  await using folder = await temporaryFolder('launcher')
  const root = join(folder.path, 'lib/node_modules/holdfast')
  for (const name of ['bin', 'dist/cli']) await mkdir(join(root, name), { recursive: true })
  await copyFile(join(CHECKOUT, 'bin/holdfast'), join(root, 'bin/holdfast'))
  if (!('no main' in programs)) await writeFile(join(root, 'dist/cli/main.js'), '')
  for (const [path, lines] of Object.entries(programs)) {
    const file = join(folder.path, path)
    await mkdir(join(file, '..'), { recursive: true })
    await writeFile(file, `#!/bin/sh\n${lines}\n`)
    await chmod(file, 0o755)
  }
  // The programs of a system without any Node.js, and before them those of the case.
  const path = join(folder.path, 'path')
  await mkdir(path, { recursive: true })
  for (const name of ['dirname', 'readlink', 'uname', 'sh']) {
    const file = join(path, name)
    if (`path/${name}` in programs) continue
    await writeFile(file, `#!/bin/sh\nPATH=/usr/bin:/bin exec ${name} "$@"\n`)
    await chmod(file, 0o755)
  }
  return await runProgram(join(root, 'bin/holdfast'), words, { PATH: path }, '/')
}

const TELLS = 'if [ "$1" = --version ]; then echo v24.1.0; exit; fi; echo "$0" "$@"'

for (const place of ['lib/node_modules/holdfast', 'lib', '']) {
  test(`runs the Node.js that npm put into '${place}', with every word and its exit code`, async () => {
    const node = join(place, NODE_PACKAGE)
    const run = await launch({ [node]: `${TELLS}; exit 7` }, 'call', 'two words', '*')
    assert.equal(run.code, 7)
    assert.ok(run.stdout.includes(`${node} `))
    assert.match(run.stdout, /dist\/cli\/main\.js call two words \*\n$/)
  })
}

test('prefers its own Node.js, and takes a new enough one of the system otherwise', async () => {
  const own = await launch({ [NODE_PACKAGE]: TELLS, 'path/node': TELLS })
  assert.ok(own.stdout.includes(NODE_PACKAGE))
  const other = await launch({ 'path/node': TELLS })
  assert.match(other.stdout, /path\/node .*main\.js/)
})

const broken = (message: string) => ({ [NODE_PACKAGE]: `echo "${message}" >&2; exit 127` })

const MISSING: readonly (readonly [string, Programs, RegExp])[] = [
  ['any Node.js', {}, /node-linux-\w+ is missing, and so is any other.*\n.*--omit=optional/],
  ['a newer Node.js', { 'path/node': 'echo v20.20.2' }, /path\/node is v20\.20\.2: 24 or newer/],
  ['a Node.js that works', { 'path/node': 'exit 1' }, /is of no version: 24 or newer/],
  ['Linux', { 'path/uname': 'echo Darwin' }, /only Linux on x86-64 and arm64 is supported/],
  ['the C++ runtime', broken('libstdc++.so.6: cannot open'), /does not start: .*\n.*libstdc\+\+6/],
  ['a new C library', broken("version 'GLIBC_2.28' not found"), /\n.*2\.28 or newer is needed/],
  ['its own code', { 'no main': '' }, /main\.js is missing: the package is damaged/],
]

for (const [what, programs, message] of MISSING) {
  test(`says plainly that ${what} is missing`, async () => {
    const { code, stdout, stderr } = await launch(programs, 'serve')
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /^holdfast: /)
    assert.match(stderr, message)
  })
}
