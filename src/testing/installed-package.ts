import { cp, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { invariant } from '../base/fault.ts'
import { readEnvironment } from '../config/environment.ts'
import { type Finished, runProgram } from './run-program.ts'

/** The checkout that the tests are of. */
export const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

/** What packing reads of a checkout, apart from its installed packages. */
const SOURCES = [
  ...['package.json', 'package-lock.json', '.npmrc', 'tsconfig.json', 'tsconfig.build.json'],
  ...['LICENSE', 'README.md', 'CHANGELOG.md', 'bin', 'docs', 'packaging', 'script', 'src'],
]

export interface Packed {
  /** The path of the `.tgz`. */
  readonly file: string
  /** The paths of the files in it. */
  readonly contents: readonly string[]
}

/** `npm pack` of a copy of the checkout below `folder`, so that tests never share a `dist/`. */
export async function packCheckout(folder: string): Promise<Packed> {
  const copy = join(folder, 'checkout')
  await mkdir(copy)
  for (const name of SOURCES) await cp(join(CHECKOUT, name), join(copy, name), { recursive: true })
  await symlink(join(CHECKOUT, 'node_modules'), join(copy, 'node_modules'))
  const { code, stdout, stderr } = await runNpm(['pack', '--json'], copy)
  invariant(code === 0, `npm pack succeeds: ${stdout}${stderr}`)
  const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]
  return { file: join(copy, packed.filename), contents: packed.files.map(({ path }) => path) }
}

/** npm as a person runs it: by the Node.js of this system, not by the one of our packages. */
export function runNpm(words: readonly string[], directory: string): Promise<Finished> {
  return runProgram('npm', words, systemEnvironment(), directory)
}

/** This process's environment without what npm, and our own packages, put into it. */
export function systemEnvironment(): Record<string, string> {
  const environment = readEnvironment() as Readonly<Record<string, string>>
  const kept = Object.entries(environment).filter(
    ([name]) => !/^(npm_|HOLDFAST_|NODE_)/i.test(name),
  )
  const path = (environment['PATH'] ?? '/usr/bin:/bin').split(':')
  return {
    ...Object.fromEntries(kept),
    PATH: path.filter((part) => !part.includes('/node_modules')).join(':'),
  }
}
