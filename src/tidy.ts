import { posix } from 'node:path'
import * as rules from './tidy-rules.ts'
import { codeOnly, withoutStrings } from './tidy-scanner.ts'

/** A source file: its path from the project's root, `/`-separated, and its text. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

/** One line for each rule that a file breaks, `path: what to change`; empty when all is tidy. */
export function violations(files: readonly SourceFile[]): string[] {
  const appFiles = files.filter(({ path }) => layerOf(path) === 'app' && !isTest(path))
  const crowded =
    appFiles.length > rules.APP_FILES_MAX
      ? [`src/app: ${appFiles.length} files, at most ${rules.APP_FILES_MAX}: it only composes`]
      : []
  return [...files.flatMap(violationsOf), ...crowded]
}

function violationsOf(file: SourceFile): string[] {
  const code = codeOnly(file.text)
  const found = [
    ...namesOf(file.path),
    ...importsOf(code).flatMap((name) => judgeImport(file.path, name)),
    ...bansOf(file.path, withoutStrings(code)),
    ...actionOf(file.path, code),
    ...textOf(file.text, code),
  ]
  return found.map((problem) => `${file.path}: ${problem}`)
}

function namesOf(path: string): string[] {
  const found: string[] = []
  const segments = path.replace(/(?:\.test)?\.ts$/, '').split('/')
  for (const segment of segments) {
    if (!/^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(segment)) found.push(`'${segment}' is not kebab-case`)
    if (rules.VAGUE_NAME.test(segment) && path !== rules.VAGUE_NAME_EXCEPTION) {
      found.push(`'${segment}' says nothing: name it by what it holds`)
    }
  }
  if (segments[0] !== 'src') return found
  const folders = segments.slice(1, -1)
  const layer = folders[0]
  if (folders.length > rules.FOLDER_DEPTH_MAX) found.push('lies too deep')
  if (layer === undefined && !segments[1]?.startsWith('tidy')) found.push('belongs in a layer')
  if (layer !== undefined && !(layer in rules.LAYERS)) found.push(`unknown layer '${layer}'`)
  return found
}

/** The modules that a file names, in `import`, `export … from` and `import()`. */
function importsOf(code: string): string[] {
  const statement = /\b(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/g
  const bare = /\bimport\s*\(?\s*['"]([^'"]+)['"]/g
  return [statement, bare].flatMap((pattern) =>
    [...code.matchAll(pattern)].map((match) => match[1] ?? ''),
  )
}

function judgeImport(path: string, name: string): string[] {
  if (name === 'node:timers/promises' && !isTest(path) && path !== 'src/base/clock.ts') {
    return ['node:timers/promises: wait with pause of base/clock.ts']
  }
  if (name.startsWith('node:')) return []
  if (!name.startsWith('.')) return judgePackage(path, name)
  return judgeFile(path, posix.join(posix.dirname(path), name))
}

function judgePackage(path: string, name: string): string[] {
  if (!path.startsWith('src/') || isTest(path) || layerOf(path) === 'testing') return []
  const packageName = name.split('/', name.startsWith('@') ? 2 : 1).join('/')
  const folders = rules.PACKAGES[packageName]
  if (!folders) return [`package '${packageName}' has no folder in tidy-rules.ts`]
  if (folders.some((folder) => path.startsWith(`src/${folder}/`))) return []
  return [`package '${packageName}' belongs to ${folders.join(', ')}`]
}

function judgeFile(path: string, target: string): string[] {
  const found: string[] = []
  const from = layerOf(path)
  const to = layerOf(target)
  if (path.startsWith('src/') && !target.startsWith('src/')) found.push(`'${target}' is not in src`)
  if (to === null || from === to) return found
  const measures = path.startsWith('bench/')
  if (to === 'testing' && !isTest(path) && !measures) found.push('only tests import testing')
  const allowed = from === null ? undefined : rules.LAYERS[from]
  if (allowed && to !== 'testing' && !isTest(path) && !allowed.includes(to)) {
    found.push(`${from} must not import ${to}`)
  }
  const isPrivate = target.split('/').length > 3
  const composes = rules.COMPOSERS.includes(from ?? path.split('/')[0] ?? '')
  if (isPrivate && !(composes && to === 'engines')) found.push(`'${target}' is private to ${to}`)
  return found
}

function bansOf(path: string, code: string): string[] {
  const isCode = path.startsWith('src/') && !isTest(path)
  const inside = path.slice('src/'.length)
  return rules.BANS.flatMap(({ pattern, allowedIn, instead, inTests }) => {
    const match = isCode || inTests ? pattern.exec(code) : null
    const allowed = allowedIn.some((place) =>
      place.endsWith('/') ? inside.startsWith(place) : inside === place,
    )
    return match && !allowed ? [`${match[0]}: ${instead}`] : []
  })
}

/** An operation `DeleteBackup` is found in `delete-backup.ts`, and only there. */
function actionOf(path: string, code: string): string[] {
  if (layerOf(path) !== 'operations' || isTest(path)) return []
  const actions = [...code.matchAll(/\baction:\s*'(\w+)'/g)].map((match) => match[1] ?? '')
  const expected = actions.map((action) => `src/operations/${kebab(action)}.ts`)
  return expected
    .filter((wanted) => wanted !== path)
    .map((wanted) => `its action belongs in ${wanted}`)
}

function textOf(text: string, code: string): string[] {
  const found: string[] = []
  const lines = text.trimEnd().split('\n').length
  if (lines > rules.LINES_MAX) found.push(`${lines} lines, at most ${rules.LINES_MAX}`)
  const exported = /\bexport\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\s*'[^']+'/g
  if (exported.test(code) && code.replace(exported, '').trim() === '') found.push('only re-exports')
  if (/\bcatch\s*(?:\([^)]*\)\s*)?\{\s*\}/.test(text)) found.push('an empty catch says no reason')
  if (/biome-ignore lint\/\S*noExcessiveLines/.test(text)) found.push('split the function')
  if (/^\s*(?:test|it)\(\s*['"`][^'"`\n]*\bshould\b/m.test(code)) {
    found.push("a test's title states a guarantee, without 'should'")
  }
  // The words are put together so that this file does not find itself.
  if (text.includes('FIX' + 'ME')) found.push('a leftover FIX' + 'ME')
  if (new RegExp(`${'TO'}DO(?!\\(#\\d+\\))`).test(text)) found.push('TO' + 'DO without (#issue)')
  return found
}

/** The folder under `src/` that a path lies in; null for what lies elsewhere or in none. */
function layerOf(path: string): string | null {
  const segments = path.split('/')
  return segments[0] === 'src' && segments.length > 2 ? (segments[1] ?? null) : null
}

function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.startsWith('tests/')
}

/** `DescribeDBInstances` → `describe-db-instances`. */
function kebab(action: string): string {
  return action
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1-$2')
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
}
