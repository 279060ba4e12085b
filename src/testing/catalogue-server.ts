import { join } from 'node:path'
import type { DataFolder } from '../app/data-folder.ts'
import { openDataFolder } from '../app/data-folder.ts'
import type { EmbeddedCatalogue } from '../app/open-catalogue.ts'
import { startCatalogue } from '../app/open-catalogue.ts'
import { SILENT } from '../base/logger.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { resolveServerUser } from '../servers/server-user.ts'
import { temporaryFolder } from './temporary-folder.ts'

export interface TestCatalogue extends AsyncDisposable {
  readonly catalogue: Catalogue
  readonly folder: DataFolder
}

/** A real catalogue on a private PostgreSQL, in a folder that goes with it. */
export async function openTestCatalogue(name: string): Promise<TestCatalogue> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await temporaryFolder(name))
  const root = process.getuid?.() === 0
  const user = await resolveServerUser(root ? 'nobody' : null, process.getuid?.() ?? -1)
  const data = await openDataFolder(join(folder.path, 'data'), user !== null)
  const signal = new AbortController().signal
  const embedded: EmbeddedCatalogue = stack.use(await startCatalogue(data, user, SILENT, signal))
  const resources = stack.move()
  return {
    catalogue: embedded.catalogue,
    folder: data,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}
