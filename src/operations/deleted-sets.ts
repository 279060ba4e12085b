import type { z } from 'zod'
import { type Instant, isoMilliseconds } from '../base/clock.ts'
import type { BackupSetId } from '../base/ids.ts'
import { parseBackupSetId } from '../base/ids.ts'
import { type SetState, statesOfSets } from '../catalogue/backup-sets.ts'
import type { Transaction } from '../catalogue/database.ts'
import { WINDOW_ENDED } from '../catalogue/deletions.ts'
import type { InstanceWithPolicy } from '../catalogue/instances.ts'
import { lockInstanceForLookups } from '../catalogue/instances.ts'
import type { ApiError } from '../wire/errors.ts'
import { splitIds, text } from '../wire/parameters.ts'
import { SETS_PER_CALL_MAX, tooManySets } from './named-sets.ts'

/** What actions on sets in their undelete window take. */
export const DELETED_SETS_PARAMETERS = {
  DBInstanceId: text('The instance; also one that was released.', '实例 ID。'),
  BackupId: text('1–100 deleted sets, separated by commas.', '已删除的备份集 ID，逗号分隔。'),
}

export const DELETED_SETS_ERRORS = {
  ParameterLeastAssociate: {},
  DeleteBackupSetNumExceed: {},
  'InvalidDBInstanceName.NotFound': {},
  'InvalidBackupSetID.NotFound': {},
  IncorrectBackupSetState: {},
} as const

type Code = keyof typeof DELETED_SETS_ERRORS

interface Asked {
  readonly parameters: z.output<z.ZodObject<typeof DELETED_SETS_PARAMETERS>>
  readonly now: Instant
  refuse(code: Code, detail?: string): ApiError
}

/**
 * The instance, locked, and those of its sets that are named, all of them in their undelete window;
 * else the request is refused: all or nothing, as DeleteBackup.
 */
export async function lockDeletedSets(
  tx: Transaction,
  { parameters, now, refuse }: Asked,
): Promise<{ readonly found: InstanceWithPolicy; readonly ids: readonly BackupSetId[] }> {
  const texts = splitIds(parameters.BackupId, parameters.DBInstanceId)
  if (texts.length === 0) throw refuse('ParameterLeastAssociate', 'BackupId names no backup set')
  const found = await lockInstanceForLookups(tx, parameters.DBInstanceId)
  if (!found) throw refuse('InvalidDBInstanceName.NotFound')
  if (texts.length > SETS_PER_CALL_MAX) {
    throw refuse('DeleteBackupSetNumExceed', tooManySets(texts.length))
  }
  const named = texts.map((id) => ({ text: id, id: parseBackupSetId(id) }))
  const known = named.flatMap(({ id }) => (id === null ? [] : [id]))
  const states = await statesOfSets(tx, found.instance.id, known)
  const problems = named.map((set) =>
    problemOf(set.text, set.id === null ? undefined : states.get(set.id), now),
  )
  // As everywhere, what is not there is told before what is there in another state.
  for (const code of ['InvalidBackupSetID.NotFound', 'IncorrectBackupSetState'] as const) {
    const problem = problems.find((one) => one?.code === code)
    if (problem) throw refuse(code, problem.detail)
  }
  return { found, ids: known }
}

function problemOf(
  id: string,
  set: SetState | undefined,
  now: Instant,
): { readonly code: Code; readonly detail: string } | null {
  const shown = `backup set ${id.slice(0, 64)}`
  if (set?.state === 'kept' || set?.state === 'failed') {
    return { code: 'IncorrectBackupSetState', detail: `${shown} is not deleted` }
  }
  const absent = (detail: string) => ({ code: 'InvalidBackupSetID.NotFound' as const, detail })
  if (set?.state === 'purged') return absent(`${shown} was purged: nothing brings it back`)
  if (set?.state !== 'deleted' || set.purgeAfter === null) return absent(`${shown} is unknown here`)
  if (set.purgeAfter > now) return null
  if (set.purgeAfter === WINDOW_ENDED) return absent(`${shown}: its undelete window was ended`)
  return absent(`${shown}: its undelete window ended at ${isoMilliseconds(set.purgeAfter)}`)
}
