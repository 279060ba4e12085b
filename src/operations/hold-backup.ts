import { z } from 'zod'
import { isoExact, isoSeconds } from '../base/clock.ts'
import { insertHold } from '../catalogue/holds.ts'
import { lockInstance } from '../catalogue/instances.ts'
import { appendReceipt } from '../catalogue/receipts.ts'
import { defineOperation } from '../wire/operation.ts'
import { moment, splitIds, text } from '../wire/parameters.ts'
import { subjectsNamed } from './named-sets.ts'
import type { OperationParts } from './parts.ts'

const REASON_CHARACTERS_MAX = 200
/** Control, format (what turns the direction of text), private, unassigned; line and paragraph ends. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u
const VISIBLE = /[^\p{Z}\p{M}]/u
/** At once, of one set: refusals and listings name each of them. */
const HOLDS_PER_SET_MAX = 100

type Needs = Pick<OperationParts, 'catalogue' | 'receipts' | 'log'>

/**
 * Holds one set: nothing deletes it, on no path, until the hold is released or ends. A set may have
 * several holds, 100 at a time.
 */
export const HoldBackup = defineOperation(
  {
    action: 'HoldBackup',
    summary: { en: 'Keeps a backup set from deletion.', zh: '保留备份集，禁止删除。' },
    access: 'write',
    resource: 'instance',
    origin: 'holdfast',
    parameters: z.object({
      DBInstanceId: text('The instance; also one that was released.', '实例 ID。'),
      BackupId: text('The set.', '备份集 ID。'),
      Reason: text('Why, in 1–200 characters.', '原因，1–200 个字符。'),
      HoldUntil: moment('When it ends by itself.', '自动解除时间。', {
        error: 'InvalidParameter',
      }).optional(),
    }),
    response: z.object({
      HoldId: z.string(),
      BackupId: z.string(),
      /** Absent: until it is released. */
      HoldUntil: z.string().optional(),
    }),
    errors: {
      InvalidParameter: {},
      'InvalidDBInstanceName.NotFound': {},
      'InvalidBackupSetID.NotFound': {},
      IncorrectBackupSetState: {},
    },
  },
  async (request, { catalogue, receipts, log }: Needs) => {
    const { parameters, caller, requestId, now, refuse } = request
    const { HoldUntil: until = null } = parameters
    const reason = parameters.Reason.trim()
    if (
      !VISIBLE.test(reason) ||
      UNPRINTABLE.test(reason) ||
      [...reason].length > REASON_CHARACTERS_MAX
    ) {
      throw refuse('InvalidParameter', `Reason: 1–${REASON_CHARACTERS_MAX} printable characters`)
    }
    // An empty variable of a script must not make a hold without an end.
    if (request.raw.get('HoldUntil') === '') throw refuse('InvalidParameter', 'HoldUntil: empty')
    if (until !== null && until <= now) {
      throw refuse('InvalidParameter', `HoldUntil: it is ${isoSeconds(now)} already`)
    }
    const held = await catalogue.transaction(async (tx) => {
      const found = await lockInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      const [id, ...more] = splitIds(parameters.BackupId, found.instance.id)
      if (id === undefined || more.length > 0) {
        throw refuse('InvalidParameter', 'BackupId: exactly one set')
      }
      const { subjects } = await subjectsNamed(tx, found, [id], now)
      const set = subjects[0]?.set
      if (!set) throw refuse('InvalidBackupSetID.NotFound', id.slice(0, 64))
      if (set.state !== 'kept') {
        throw refuse('IncorrectBackupSetState', 'the run failed: there is nothing to hold')
      }
      if (set.holds.length >= HOLDS_PER_SET_MAX) {
        throw refuse('IncorrectBackupSetState', `the set has ${set.holds.length} holds already`)
      }
      const holdId = await insertHold(tx, {
        instanceId: found.instance.id,
        setId: set.id,
        reason,
        ...caller,
        heldAt: now,
        until,
      })
      await appendReceipt(tx, receipts, {
        kind: 'hold',
        instanceId: found.instance.id,
        at: now,
        requestId,
        actor: caller,
        details: {
          holdId,
          backupId: String(set.id),
          reason,
          until: until === null ? null : isoExact(until),
        },
      })
      return { holdId, setId: set.id }
    })
    log.info('set held', { requestId, accessKeyId: caller.accessKeyId, ...held, reason })
    return {
      HoldId: String(held.holdId),
      BackupId: String(held.setId),
      ...(until === null ? {} : { HoldUntil: isoExact(until) }),
    }
  },
)
