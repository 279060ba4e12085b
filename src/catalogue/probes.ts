import { sql } from 'kysely'
import type { InstanceId } from '../base/ids.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** What one look at an instance's servers has shown. */
export interface Probed {
  readonly running: boolean
  /** Findings about standbys while the primary runs. */
  readonly standbyFindings: number
  readonly findings: number
}

/**
 * Notes the latest look; returns how many in a row have now found a standby amiss. An instance that
 * is gone meanwhile has nothing to note.
 */
export async function recordProbe(
  tx: Transaction,
  instanceId: InstanceId,
  { running, standbyFindings, findings }: Probed,
): Promise<number> {
  const failures = running ? 0 : 1
  // A primary that does not answer says nothing about its standbys: their count stays.
  const amiss = standbyFindings > 0 ? 1 : 0
  const { rows } = await sql<{ standbyFailures: number }>`
    insert into probe as p (instance_id, running, failures, standby_failures, findings, probed_at)
    select instance_id, ${running}::boolean, ${failures}::int, ${amiss}::int, ${findings}::int, now()
    from instance where instance_id = ${instanceId}
    on conflict (instance_id) do update set running = excluded.running,
      failures = case when excluded.running then 0 else p.failures + 1 end,
      standby_failures = case when not excluded.running then p.standby_failures
        when excluded.standby_failures = 0 then 0 else p.standby_failures + 1 end,
      findings = excluded.findings, probed_at = now()
    returning standby_failures as "standbyFailures"`.execute(sqlOf(tx))
  return rows[0]?.standbyFailures ?? 0
}
