import { readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { Fault, invariant, isFault, systemCode } from '../base/fault.ts'
import { mirrorPrograms } from './mirror.ts'
import { firstClosedFolder, type ServerUser } from './server-user.ts'

/** The programs of one PostgreSQL version, executable by the server user. */
export interface PostgresBinaries {
  readonly major: number
  readonly initdb: string
  readonly postgres: string
}

const KNOWN_MAJORS: readonly number[] = [15, 16, 17, 18]

/**
 * Finds the programs that npm installed for `version` (`18` or `18.4`: the major decides). Missing
 * library links are made (npm may have been told to run no install scripts), and when the server
 * user cannot reach the package, its files are mirrored into `mirrorDirectory` once and used there.
 * `from` is the module whose packages are looked at.
 */
export async function locateBinaries(
  version: string,
  user: ServerUser | null,
  mirrorDirectory: string,
  from = import.meta.url,
): Promise<PostgresBinaries> {
  const major = parseMajor(version)
  const packageName = packageNameOf(major)
  const packageDirectory = findPackage(packageName, major, from)
  await restoreLinks(packageDirectory)
  const native = join(packageDirectory, 'native')
  const bin = join(native, 'bin')
  const reachable = (await firstClosedFolder(bin, user)) === null
  return programs(
    major,
    reachable
      ? bin
      : join(await mirrorPrograms(packageDirectory, packageName, user, mirrorDirectory), 'bin'),
  )
}

/** The majors whose programs npm has installed beside the module `from`, the oldest first. */
export function installedMajors(from = import.meta.url): readonly string[] {
  return KNOWN_MAJORS.flatMap((major) => {
    try {
      findPackage(packageNameOf(major), major, from)
      return [String(major)]
    } catch (error) {
      if (isFault(error, 'unfit')) return []
      throw error
    }
  })
}

function packageNameOf(major: number): string {
  return `postgres${major}-linux-${process.arch}`
}

function programs(major: number, bin: string): PostgresBinaries {
  return { major, initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') }
}

function parseMajor(version: string): number {
  const major = Number(/^(\d+)(\.\d+)*$/.exec(version)?.[1])
  if (KNOWN_MAJORS.includes(major)) return major
  throw new Fault('unfit', `PostgreSQL ${version} is not supported`, {
    hint: `supported majors: ${KNOWN_MAJORS.join(', ')}`,
  })
}

function findPackage(packageName: string, major: number, from: string): string {
  try {
    // The package exports nothing but dist/index.js, so not even its package.json can be resolved.
    return dirname(dirname(createRequire(from).resolve(packageName)))
  } catch (error) {
    throw new Fault('unfit', `the npm package ${packageName} is not installed`, {
      cause: error,
      hint: `install it, or choose a version whose package is installed (asked: ${major})`,
    })
  }
}

/** `native/pg-symlinks.json`: `[{ source, target }]`, both relative to the package's folder. */
async function restoreLinks(packageDirectory: string): Promise<void> {
  const listed: unknown = JSON.parse(
    await readFile(join(packageDirectory, 'native', 'pg-symlinks.json'), 'utf8'),
  )
  invariant(Array.isArray(listed), 'pg-symlinks.json is a list')
  for (const { source, target } of listed as { source: string; target: string }[]) {
    const path = join(packageDirectory, target)
    try {
      await symlink(relative(dirname(path), join(packageDirectory, source)), path)
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
    }
  }
}
