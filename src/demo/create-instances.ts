import type { Secret } from '../base/secret.ts'
import { mebibytes } from './report.ts'
import { describeInstance } from './signed-api.ts'
import { withDatabase } from './sql-client.ts'
import type { Instances, Stage } from './stage.ts'
import { connectionUrl, operate } from './stage.ts'
import { createTables, tableBytes } from './workload.ts'

const RETENTION_DAYS = 30

/** Makes the pair with its tables and the Basic instance, and sets the retention through the API. */
export async function createInstances(stage: Stage): Promise<Instances> {
  const { report, api } = stage
  report.progress('creating two instances: initdb, a standby, replication')
  const [pair, basic] = await Promise.all([
    createInstance(stage, 'HighAvailability', 'orders of the shop'),
    createInstance(stage, 'Basic', 'a single server'),
  ])
  for (const [id, about] of [
    [pair, 'a primary and a streaming standby'],
    [basic, 'a Basic instance: a primary alone'],
  ] as const) {
    const { ConnectionString, Port, EngineVersion } = await describeInstance(api, id)
    report.line(`${id}  PostgreSQL ${EngineVersion} at ${ConnectionString}:${Port}, ${about}`)
  }
  const url = await connectionUrl(stage, pair)
  await fillTables(stage, url)
  await api.ask('ModifyBackupPolicy', {
    DBInstanceId: pair,
    BackupRetentionPeriod: RETENTION_DAYS,
  })
  const policy = await api.ask('DescribeBackupPolicy', { DBInstanceId: pair })
  report.check(
    policy['BackupRetentionPeriod'] === RETENTION_DAYS,
    `ModifyBackupPolicy: data retention ${policy['BackupRetentionPeriod']} days`,
  )
  return { pair, basic, url }
}

async function createInstance(stage: Stage, category: string, about: string): Promise<string> {
  const engine = ['--engine', 'PostgreSQL', '--engine-version', '18']
  const words = ['instance', 'create', ...engine, '--category', category, '--description', about]
  return (await operate(stage, words)).trim()
}

async function fillTables(stage: Stage, url: Secret<string>): Promise<void> {
  const { report, scale, signal } = stage
  report.progress('filling the tables')
  await withDatabase(url, signal, async (client) => {
    await createTables(client, scale)
    const ledger = await tableBytes(client, 'ledger')
    const stock = await tableBytes(client, 'stock')
    report.line(`table ledger ${mebibytes(ledger)}, to be changed in spots every day`)
    report.line(`table stock ${mebibytes(stock)}, to be loaded anew every day`)
    report.check(ledger >= scale.ledgerBytes && stock >= scale.stockBytes, 'the tables are filled')
  })
}
