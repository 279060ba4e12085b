/**
 * Asserts that what is installed is what package-lock.json names. npm run by an old Node silently
 * installs older packages that still support it, and then a test proves nothing about the real ones.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

interface LockedPackage {
  readonly version?: string
  readonly os?: string | readonly string[]
  readonly cpu?: string | readonly string[]
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>
}

const root = process.argv[2] ?? process.cwd()
const lock = readJson<Lock>('package-lock.json')

const direct = lock.packages['']
const names = Object.keys({
  ...direct?.dependencies,
  ...direct?.devDependencies,
  ...direct?.optionalDependencies,
})
const problems = [...names.flatMap(compareInstalled), ...compareNode()]
if (problems.length > 0) {
  process.stderr.write(`holdfast: the packages are not the locked ones\n${problems.join('')}`)
  process.stderr.write(`holdfast: remove ${join(root, 'node_modules')} and run the command again\n`)
  process.exitCode = 1
}

function compareInstalled(name: string): string[] {
  const locked = lock.packages[`node_modules/${name}`]
  if (!locked) return [`  ${name}: package-lock.json does not know it\n`]
  if (!fits(locked.os, process.platform) || !fits(locked.cpu, process.arch)) return []
  const installed = installedVersion(name)
  if (installed === locked.version) return []
  return [`  ${name}: ${installed ?? 'nothing'} is installed, ${locked.version} is locked\n`]
}

function compareNode(): string[] {
  const locked = lock.packages[`node_modules/node-linux-${process.arch}`]?.version
  if (process.versions.node === locked) return []
  return [`  Node.js: ${process.versions.node} runs this, ${locked ?? 'none'} is locked\n`]
}

function installedVersion(name: string): string | undefined {
  try {
    return readJson<LockedPackage>(join('node_modules', name, 'package.json')).version
  } catch {
    return undefined // Absent or unreadable is the same news: it is not the locked version.
  }
}

/** An absent list fits every machine; npm writes a list of one as plain text. */
function fits(allowed: string | readonly string[] | undefined, here: string): boolean {
  return allowed === undefined || [allowed].flat().includes(here)
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(join(root, path), 'utf8')) as T
}
