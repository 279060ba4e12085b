import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Reaper, startReaper } from '../base/reaper.ts'

/** A folder of a test's own; disposing removes it with everything in it. */
export interface TemporaryFolder extends AsyncDisposable {
  /** A real path. */
  readonly path: string
}

/** One for the whole test process, started by the first folder; it ends with the process. */
let reaper: Reaper | null = null

/**
 * Makes a folder below the system's folder for temporary files. Others may pass through it (0711),
 * because a server may run as another user. When the test process dies before it disposes, the
 * servers that run below the folder are stopped and the folder is removed.
 */
export async function temporaryFolder(name: string): Promise<TemporaryFolder> {
  reaper ??= startReaper()
  const path = await realpath(await mkdtemp(join(tmpdir(), `holdfast-${name}-`)))
  const watch = await reaper.watchFolder(path)
  await chmod(path, 0o711)
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true, maxRetries: 5 })
      await watch.forget()
    },
  }
}
