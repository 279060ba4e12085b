import { sql } from 'kysely'
import type { InstanceId } from '../base/ids.ts'
import type { AttachTask, ServerProblem } from '../domain/attaching.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

const KEPT_HOURS = 24

/** An earlier refusal of the same ID is forgotten. */
export async function beginAttachTask(tx: Transaction, id: InstanceId): Promise<void> {
  await sql`
    insert into attach_task (instance_id, state) values (${id}, 'running')
    on conflict (instance_id) do update
    set state = 'running', problems = '[]', asked_at = now()`.execute(sqlOf(tx))
}

export async function endAttachTask(
  tx: Transaction,
  id: InstanceId,
  state: 'finished' | 'refused',
  problems: readonly ServerProblem[],
): Promise<void> {
  await sql`
    update attach_task set state = ${state}, problems = ${JSON.stringify(problems)}
    where instance_id = ${id}`.execute(sqlOf(tx))
}

export async function findAttachTask(tx: Transaction, id: string): Promise<AttachTask | null> {
  const { rows } = await sql<AttachTask>`
    select state, problems from attach_task where instance_id = ${id}`.execute(sqlOf(tx))
  return rows[0] ?? null
}

/** Outcomes are for whoever waits for them; after a day nobody does. */
export async function forgetAttachTasks(tx: Transaction): Promise<void> {
  await sql`
    delete from attach_task where state <> 'running'
      and asked_at < now() - ${KEPT_HOURS} * interval '1 hour'`.execute(sqlOf(tx))
}
