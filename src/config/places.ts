import { access, constants, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Config } from './config.ts'
import type { Role } from './role.ts'

/** What is wrong with the places that the configuration names, before anything is made in them. */
export async function findPlaceProblems(config: Config, role: Role): Promise<readonly string[]> {
  const found = await Promise.all([
    judgeFolder('HOLDFAST_DATA', config.dataDirectory),
    // Who only answers calls touches no storage.
    role === 'api' ? null : judgeFolder('HOLDFAST_STORAGE', config.storageDirectory),
    judgeKeyFile(config.keyFile),
  ])
  return found.filter((problem) => problem !== null)
}

/** A folder that does not exist yet is made below the nearest one that does. */
async function judgeFolder(name: string, folder: string): Promise<string | null> {
  const facts = await stat(folder).catch(() => null)
  if (facts === null) {
    return folder === dirname(folder) ? null : judgeFolder(name, dirname(folder))
  }
  if (!facts.isDirectory()) return `${name}: ${folder} is not a folder`
  const writable = await access(folder, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  )
  return writable ? null : `${name}: nothing can be written into ${folder}`
}

async function judgeKeyFile(file: string): Promise<string | null> {
  const facts = await stat(file).catch(() => null)
  if (facts === null) return null
  if (!facts.isFile()) return `HOLDFAST_KEY_FILE: ${file} is not a file`
  return (facts.mode & 0o077) === 0
    ? null
    : `HOLDFAST_KEY_FILE: ${file} can be read by others; chmod 600 ${file}`
}
