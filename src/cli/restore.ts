import { isAbsolute, resolve } from 'node:path'
import { openWorkbench } from '../app/workbench.ts'
import { parseBackupSetId } from '../base/ids.ts'
import { readArguments, UsageError } from './arguments.ts'
import { formatBytes, operatorLog, progressLine, requireConfig } from './setup.ts'

/** Restores a set into a folder of its own, as the person who called it. */
export async function restore(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const given = readArguments(words, {
    'backup-id': 'text',
    'target-directory': 'text',
    'tablespace-mapping': 'list',
  })
  const setId = parseBackupSetId(given.required('backup-id'))
  if (setId === null) throw new UsageError('--backup-id is not the ID of a backup set')
  const directory = resolve(given.required('target-directory'))
  const tablespaces = readMappings(given.list('tablespace-mapping'))
  await using workbench = await openWorkbench(requireConfig(), operatorLog(), signal)
  const line = progressLine()
  const restored = await workbench.restore(
    setId,
    { directory, tablespaces },
    signal,
    (progress) => {
      const { phase, doneBytes, ofBytes } = progress
      line.show(`${phase} ${formatBytes(doneBytes)} of ${formatBytes(ofBytes)}`)
    },
  )
  line.end()
  const { engineState } = restored.description
  const spaces = restored.tablespaces.map(
    (space) => `Tablespace ${space.oid}, which was in ${space.from}, is in ${space.directory}.\n`,
  )
  process.stdout.write(
    `Restored backup set ${setId} of ${restored.instanceId} to ${directory}: ` +
      `${restored.files} files, ${formatBytes(restored.contentBytes)}, all verified.\n` +
      `It is an independent PostgreSQL ${engineState.serverVersion} server, not started.\n` +
      spaces.join('') +
      restored.notes.map((note) => `Note: ${note}\n`).join(''),
  )
}

function readMappings(texts: readonly string[]): ReadonlyMap<string, string> {
  const mappings = new Map<string, string>()
  for (const text of texts) {
    const mapping = readTablespaceMapping(text)
    if (mapping === null) throw new UsageError('--tablespace-mapping is OLD=NEW')
    const [from, to] = mapping
    if (!isAbsolute(to)) throw new UsageError(`--tablespace-mapping ${text}: NEW is not absolute`)
    if (mappings.has(from)) throw new UsageError(`--tablespace-mapping maps ${from} twice`)
    mappings.set(from, to)
  }
  return mappings
}

/** Reads `OLD=NEW`, in either of which `\=` stands for `=`, as `pg_basebackup -T` has it; else null. */
function readTablespaceMapping(text: string): readonly [string, string] | null {
  const parts = text.split(/(?<!\\)=/)
  const [from, to] = parts.map((part) => part.replaceAll('\\=', '='))
  return parts.length === 2 && from && to ? [from, to] : null
}
