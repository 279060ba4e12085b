import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { violations } from './tidy.ts'
import { FUNCTION_LINES_MAX } from './tidy-rules.ts'
import { codeOnly, withoutStrings } from './tidy-scanner.ts'

const ROOT = join(import.meta.dirname, '..')
const KEPT = 'export const kept = true\n'

/** A violation planted in a file, and the words that must name it. */
const PLANTED: readonly (readonly [path: string, text: string, problem: RegExp])[] = [
  [
    'src/repository/a.ts',
    "import { x } from '../catalogue/x.ts'",
    /repository must not import cata/,
  ],
  ['src/base/a.ts', "import type { X } from '../series/series.ts'", /base must not import series/],
  ['src/operations/a.ts', "import { x } from '../jobs/x.ts'", /operations must not import jobs/],
  ['src/cli/a.ts', "const x = await import('../catalogue/x.ts')", /cli must not import catalogue/],
  ['src/demo/a.ts', "export { x } from '../app/service.ts'\nrun(x)", /demo must not import app/],
  ['src/jobs/a.ts', "import '../engines/postgres/wal.ts'", /wal.ts' is private to engines/],
  ['src/cli/a.test.ts', "import '../engines/postgres/wal.ts'", /wal.ts' is private to engines/],
  ['src/app/a.ts', "import '../catalogue/sql/x.ts'", /x.ts' is private to catalogue/],
  ['src/app/a.ts', "import { x } from '../testing/x.ts'", /only tests import testing/],
  ['src/base/a.ts', "import { x } from '../../script/x.ts'", /'script\/x.ts' is not in src/],
  ['src/jobs/a.ts', "import { Client } from 'pg'", /package 'pg' belongs to catalogue/],
  ['src/engines/a.ts', "import tar from 'tar-stream'", /'tar-stream' belongs to engines\/postgres/],
  ['src/base/a.ts', "import x from 'left-pad/index.js'", /package 'left-pad' has no folder/],
  ['src/wire/a.ts', "import '@alicloud/rds20140815/x'", /'@alicloud\/rds20140815' belongs to demo/],
  ['src/jobs/a.ts', 'const at = Date.now()', /Date.now\(: use the injected Clock/],
  ['src/wire/a.ts', 'const at = new Date(0)', /new Date\(: use the injected Clock/],
  ['src/testing/a.ts', "Date.parse('x')", /Date.parse\(: use the injected Clock/],
  ['src/jobs/a.ts', 'setTimeout(retry, 10)', /setTimeout\(: wait with pause/],
  ['src/jobs/a.ts', "import { setTimeout } from 'node:timers/promises'", /wait with pause/],
  ['src/cli/a.ts', 'const home = process.env.HOME', /process.env: take the value/],
  ['src/base/ids.ts', 'const x = Math.random()', /Math.random: use randomName/],
  ['tests/simulation/a.test.ts', 'const x = Math.random()', /Math.random: use randomName/],
  ['src/jobs/a.ts', "console.log('x')", /console.: use the injected Logger/],
  ['src/cli/a.ts', 'process.exit(1)', /process.exit\(: throw/],
  ['src/wire/a.ts', 'export default 1', /export default: export by name/],
  ['src/wire/a.ts', 'export { x as default }', /as default: export by name/],
  ['src/wire/a.test.ts', "test.only('keeps', () => {})", /test.only: a test runs or does not/],
  ['tests/acceptance/a.test.ts', 'test(title, { skip: true }, run)', /skip: true: a test runs/],
  ['src/wire/a.test.ts', "test('it should hold', run)", /without 'should'/],
  ['src/wire/a.ts', "export { x } from './x.ts'\nexport * from './y.ts'\n", /only re-exports/],
  ['src/wire/a.ts', 'try { run() } catch {\n}', /an empty catch says no reason/],
  ['src/wire/a.ts', 'try { run() } catch (error) {}', /an empty catch says no reason/],
  ['src/wire/rpcServer.ts', KEPT, /'rpcServer' is not kebab-case/],
  ['src/wire/utils.ts', KEPT, /'utils' says nothing/],
  ['src/wire/common/a.ts', KEPT, /'common' says nothing/],
  ['tests/helpers/a.ts', KEPT, /'helpers' says nothing/],
  ['src/jobs/service.ts', KEPT, /'service' says nothing/],
  ['src/a/b.ts', KEPT, /unknown layer 'a'/],
  ['src/main.ts', KEPT, /belongs in a layer/],
  ['src/engines/postgres/wal/a.ts', KEPT, /lies too deep/],
  ['src/wire/a.ts', KEPT.repeat(401), /401 lines, at most 400/],
  ['src/operations/remove.ts', "action: 'DeleteBackup'", /src\/operations\/delete-backup.ts/],
  ['src/operations/describe-d-b-instances.ts', "action: 'DescribeDBInstances'", /describe-db-inst/],
  ['src/wire/a.ts', `// ${'FIX'}ME`, /a leftover/],
  ['src/wire/a.ts', `// ${'TO'}DO: later`, /without \(#issue\)/],
  ['src/wire/a.ts', '// biome-ignore lint/x/noExcessiveLinesPerFunction: long', /split the funct/],
]

/** What stands close to a rule and keeps it. */
const TIDY: readonly (readonly [path: string, text: string])[] = [
  ['src/base/clock.ts', 'const at = Date.now()'],
  ['src/wire/timestamps.ts', 'const at = new Date(0)'],
  ['src/config/environment.ts', 'const home = process.env.HOME'],
  ['src/config/environment.test.ts', 'process.env.HOME = "/tmp"'],
  ['src/app/service.ts', "import { x } from '../engines/postgres/engine.ts'"],
  ['src/engines/registry.test.ts', "import { x } from './postgres/engine.ts'"],
  ['src/engines/postgres/a.ts', "import { Client } from 'pg'\nimport { x } from '../engine.ts'"],
  ['src/jobs/a.test.ts', "import { x } from '../testing/x.ts'\nimport { Client } from 'pg'"],
  ['src/operations/describe-db-instances.ts', "action: 'DescribeDBInstances'"],
  ['src/operations/all.ts', "import { x } from './delete-backup.ts'\nexport const all = [x]"],
  ['src/wire/a.ts', 'try { run() } catch {\n  // Gone already, as wanted.\n}'],
  ['src/wire/a.ts', "// Date.now( is not for here\nconst text = 'Math.random'"],
  ['src/wire/a.ts', `// ${'TO'}DO(#12): shorten`],
  ['src/cli/main.ts', 'process.exit(1); console.log(1)'],
  ['src/servers/a.ts', 'socket.setTimeout(10, close)'],
]

for (const [path, text, problem] of PLANTED) {
  test(`catches ${path} with ${text.slice(0, 50).replaceAll('\n', ' ')}`, () => {
    const found = violations([{ path, text }])
    assert.equal(found.length, 1, found.join('\n'))
    assert.match(found[0] ?? '', problem)
    assert.ok(found[0]?.startsWith(`${path}: `))
  })
}

for (const [path, text] of TIDY) {
  test(`allows ${path} with ${text.slice(0, 50).replaceAll('\n', ' ')}`, () => {
    assert.deepEqual(violations([{ path, text }]), [])
  })
}

test('catches a seventh file in app, not counting tests', () => {
  const files = Array.from({ length: 6 }, (_, n) => ({ path: `src/app/a${n}.ts`, text: KEPT }))
  const aTest = { path: 'src/app/a6.test.ts', text: KEPT }
  assert.deepEqual(violations([...files, aTest]), [])
  assert.match(violations([...files, { path: 'src/app/a6.ts', text: KEPT }]).join(), /at most 6/)
})

test('tells code from comments, strings, templates and regular expressions', () => {
  // biome-ignore-start lint/suspicious/noTemplateCurlyInString: this is code in a string.
  const code = [
    "a('it\\'s // no comment') // Date.now()",
    "b(`x ${c({ d: `y ${'e'}` })} // z`) /* new Date( */",
    'f = /[\'"`/]/.test(g) ? 1 / 2 : `\\``',
    'h()',
  ]
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: above.
  const bare = withoutStrings(codeOnly(code.join('\n')))
  for (const word of ['comment', 'Date', 'x ', 'y ', 'z', "'e'"])
    assert.ok(!bare.includes(word), word)
  for (const word of ['a(', 'b(', 'c({ d:', 'f =', '? 1 / 2 :', 'h()']) {
    assert.ok(bare.includes(word), `${word} in ${bare}`)
  }
  assert.equal(bare.split('\n').length, 4)
})

test('has the linter hold every function to its length, outside tests', () => {
  const biome = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8'))
  const rule = biome.linter.rules.complexity.noExcessiveLinesPerFunction
  assert.equal(rule.level, 'error')
  assert.equal(rule.options.maxLines, FUNCTION_LINES_MAX)
  for (const override of biome.overrides) assert.deepEqual(override.includes, ['**/*.test.ts'])
})

test('every file of the project keeps the rules', () => {
  const paths = globSync('{src,tests,bench,script}/**/*.ts', { cwd: ROOT })
  const files = paths.map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
  assert.ok(files.length > 10, 'the project was found')
  // This file shows what is forbidden.
  const judged = files.filter(({ path }) => path !== 'src/tidy.test.ts')
  assert.deepEqual(violations(judged), [])
})
