import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../base/fault.ts'
import { randomName } from '../base/ids.ts'
import { requireOpenWay, type ServerUser } from './server-user.ts'

/**
 * Gives the server user a copy of the programs that it can reach, by hard links where possible.
 * Made once per package version, whole or not at all. Returns the folder that has `bin`.
 */
export async function mirrorPrograms(
  packageDirectory: string,
  packageName: string,
  user: ServerUser | null,
  mirrorDirectory: string,
): Promise<string> {
  const facts: unknown = JSON.parse(await readFile(join(packageDirectory, 'package.json'), 'utf8'))
  const version = (facts as { version: string }).version
  const target = join(mirrorDirectory, `${packageName}-${version}`)
  await mkdir(mirrorDirectory, { recursive: true, mode: 0o755 })
  if ((await stat(target).catch(() => null)) === null) {
    const draft = `${target}.${randomName(8)}.draft`
    try {
      await mirrorFolder(join(packageDirectory, 'native'), draft)
      await rename(draft, target)
    } catch (error) {
      await rm(draft, { recursive: true, force: true })
      // Another process finished the same mirror first: its files are as good as ours.
      const lost = systemCode(error) === 'ENOTEMPTY' || systemCode(error) === 'EEXIST'
      if (!lost) throw error
    }
  }
  await requireOpenWay(join(target, 'bin', 'postgres'), user)
  return target
}

async function mirrorFolder(from: string, to: string): Promise<void> {
  await mkdir(to, { mode: 0o755 })
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name)
    const target = join(to, entry.name)
    if (entry.isDirectory()) await mirrorFolder(source, target)
    // Symbolic links here point to files beside them, so a second name of one stays right.
    else await linkOrCopy(source, target)
  }
}

async function linkOrCopy(source: string, target: string): Promise<void> {
  try {
    await link(source, target)
  } catch (error) {
    if (!['EXDEV', 'EPERM', 'EMLINK'].includes(systemCode(error) ?? '')) throw error
    await copyFile(source, target)
  }
}
