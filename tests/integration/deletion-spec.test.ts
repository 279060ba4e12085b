import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { RULES } from '../../src/domain/deletion-rules.ts'
import { CHECKOUT } from '../../src/testing/installed-package.ts'

const PAGE = 'docs/spec/deletion.md'
const BINDS = { 'by-hand': 'hand', expiry: 'expiry', 'instance-removal': 'removal' } as const

interface Row {
  readonly number: string
  readonly cells: readonly string[]
  /** Of the tests that the row names by their words. */
  readonly files: readonly string[]
}

const page = await readFile(join(CHECKOUT, PAGE), 'utf8')
const tables = page.split('\n').flatMap((line) => {
  const cells = line.startsWith('|') ? line.slice(1, -1).split('|') : []
  return cells.length > 1 ? [cells.map((cell) => cell.trim())] : []
})
const words = new Map(
  tables.flatMap(([word = '', path = '']) => {
    const file = /^`([a-z0-9/-]+\.test\.ts)`/.exec(path)?.[1]
    return file === undefined ? [] : [[word, file] as const]
  }),
)
const rows = tables.flatMap(([number = '', ...cells]): Row[] => {
  if (!/^[A-Z]\d+$/.test(number)) return []
  const files = (cells.at(-1) ?? '').split(', ').map((word) => words.get(word) ?? `no word ${word}`)
  return [{ number, cells, files }]
})
const ONE = String.raw`[A-Z]\d+(?:–[A-Z]\d+)?`
const MANY = `${ONE}(?:(?:, | before )${ONE})*`

const cited = await citations()

/** File → the numbers that titles of its tests begin with. */
async function citations(): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const found = new Map<string, ReadonlySet<string>>()
  for (const folder of ['src', 'tests']) {
    for (const name of await readdir(join(CHECKOUT, folder), { recursive: true })) {
      if (!name.endsWith('.test.ts')) continue
      const text = await readFile(join(CHECKOUT, folder, name), 'utf8')
      const numbers = new Set(titlesIn(text).flatMap(numbersOf))
      if (numbers.size > 0) found.set(join(folder, name), numbers)
    }
  }
  return found
}

/**
 * What titles begin with. Where a title is made from a table (`${group[0]}: …`), what the table has:
 * a text that consists of numbers alone.
 */
function titlesIn(text: string): readonly string[] {
  const titles = text.matchAll(
    new RegExp(String.raw`(?:\b(?:test|it)\(|\btitle:)\s*['\`"](${MANY}):`, 'g'),
  )
  const made = /\b(?:test|it)\(\s*`\$\{[^}]*\}: /.test(text)
  const listed = made ? text.matchAll(new RegExp(String.raw`\[\s*'(${MANY})',`, 'g')) : []
  return [...titles, ...listed].map((match) => match[1] ?? '')
}

/** `D7, I1–I3` → D7, I1, I2, I3. */
function numbersOf(title: string): readonly string[] {
  return title.split(/, | before /).flatMap((part) => {
    const [from = '', to = from] = part.split('–')
    assert.equal(from[0], to[0], `${title}: a range within one letter`)
    const [first, last] = [Number(from.slice(1)), Number(to.slice(1))]
    assert.ok(first <= last, `${title}: a range from low to high`)
    return Array.from({ length: last - first + 1 }, (_, index) => `${from[0]}${first + index}`)
  })
}

test('every number stands on the page once, and none is left out', () => {
  const numbers = rows.map((row) => row.number)
  assert.ok(numbers.length > 60)
  assert.equal(new Set(numbers).size, numbers.length)
  for (const letter of new Set(numbers.map((number) => number[0]))) {
    const mine = numbers.filter((number) => number[0] === letter).map((one) => Number(one.slice(1)))
    assert.deepEqual(
      mine.sort((a, b) => a - b),
      mine.map((_, index) => index + 1),
      `numbers of ${letter}`,
    )
  }
})

test('the table of rules in code is the page’s: numbers, names, order, and whom they bind', () => {
  const onPage = rows.flatMap(({ number, cells: [, name, binds] }) =>
    /^`[a-z-]+`$/.test(name ?? '') ? [[number, name, binds]] : [],
  )
  const inCode = RULES.map(({ number, rule, binds }) => {
    const causes = binds.map((cause) => BINDS[cause])
    return [number, `\`${rule}\``, causes.length === 3 ? 'all' : causes.join(', ')]
  })
  assert.deepEqual(onPage, inCode)
})

test('every number is cited by a test of each file that the page names for it', () => {
  for (const { number, files } of rows) {
    for (const file of files) {
      assert.ok(cited.get(file)?.has(number), `${number}: no title in ${file} begins with it`)
    }
  }
})

test('every number that a title cites stands on the page, with the file of the test', () => {
  assert.ok(cited.size > 10)
  for (const [file, numbers] of cited) {
    for (const number of numbers) {
      const row = rows.find((one) => one.number === number)
      assert.ok(row, `${file} cites ${number}, which is not on ${PAGE}`)
      assert.ok(row.files.includes(file), `${PAGE} does not name ${file} for ${number}`)
    }
  }
})
