import { resolve } from 'node:path'
import { openWorkbench } from '../app/workbench.ts'
import { parseBackupSetId } from '../base/ids.ts'
import { readArguments, UsageError } from './arguments.ts'
import { formatBytes, operatorLog, progressLine, requireConfig } from './setup.ts'

/** Restores a set into a folder of its own, as the person who called it; needs the data folder. */
export async function restore(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const given = readArguments(words, { 'backup-id': 'text', 'target-directory': 'text' })
  const setId = parseBackupSetId(given.required('backup-id'))
  if (setId === null) throw new UsageError('--backup-id is not the ID of a backup set')
  const directory = resolve(given.required('target-directory'))
  await using workbench = await openWorkbench(requireConfig(), operatorLog(), signal)
  const line = progressLine()
  const restored = await workbench.restore(setId, directory, signal, (progress) => {
    const { phase, doneBytes, ofBytes } = progress
    line.show(`${phase} ${formatBytes(doneBytes)} of ${formatBytes(ofBytes)}`)
  })
  line.end()
  const { engineState } = restored.description
  process.stdout.write(
    `Restored backup set ${setId} of ${restored.instanceId} to ${directory}: ` +
      `${restored.files} files, ${formatBytes(restored.contentBytes)}, all verified.\n` +
      `It is an independent PostgreSQL ${engineState.serverVersion} server, not started.\n`,
  )
}
