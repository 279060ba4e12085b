import { Fault } from '../base/fault.ts'
import { readArguments, UsageError } from './arguments.ts'
import type { Client, Reply } from './client.ts'
import { itemsOf, openClient, pollUntil } from './client.ts'
import { formatBytes, progressLine } from './setup.ts'

/** `holdfast backup create|list|cancel`. */
export async function backup(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const [verb, ...rest] = words
  const given = readArguments(rest, { endpoint: 'text' })
  const [instanceId, jobId] = given.words
  if (!instanceId) throw new UsageError(`backup ${verb ?? ''} needs an instance`)
  const client = await openClient(given.text('endpoint'), signal)
  if (verb === 'create') {
    process.stdout.write(`${await create(client, instanceId, signal)}\n`)
  } else if (verb === 'list') {
    await list(client, instanceId)
  } else if (verb === 'cancel') {
    if (!jobId) throw new UsageError('backup cancel needs an instance and a job')
    await client.ask('CancelBackup', { DBInstanceId: instanceId, BackupJobId: jobId })
    const ended = await pollUntil(() => endedJob(client, instanceId, jobId), signal)
    process.stdout.write(`${ended['BackupStatus']}\n`)
  } else {
    throw new UsageError('backup create, list or cancel')
  }
}

/** Waits for the job; gives the new set's ID. */
async function create(client: Client, instanceId: string, signal: AbortSignal): Promise<string> {
  const { BackupJobId } = await client.ask('CreateBackup', { DBInstanceId: instanceId })
  process.stderr.write(`job ${BackupJobId}\n`)
  const line = progressLine()
  const job = await pollUntil(
    () =>
      endedJob(client, instanceId, String(BackupJobId), (running) =>
        line.show(`${running['BackupStatus']} ${running['Process']} %`),
      ),
    signal,
  )
  line.end()
  if (job['BackupStatus'] !== 'Finished') {
    throw new Fault('unfit', `the backup failed: ${job['FailureReason']}`)
  }
  return String(job['BackupId'])
}

async function endedJob(
  client: Client,
  instanceId: string,
  jobId: string,
  watch: (job: Reply) => void = () => {},
): Promise<Reply | null> {
  const asked = { DBInstanceId: instanceId, BackupJobId: jobId }
  const [job] = itemsOf(await client.ask('DescribeBackupTasks', asked), 'BackupJob')
  if (!job) throw new Fault('not-found', `there is no backup job ${jobId}`)
  watch(job)
  return job['BackupStatus'] === 'Finished' || job['BackupStatus'] === 'Failed' ? job : null
}

async function list(client: Client, instanceId: string): Promise<void> {
  for (let page = 1; ; page += 1) {
    const asked = { DBInstanceId: instanceId, PageNumber: String(page), PageSize: '100' }
    const sets = itemsOf(await client.ask('DescribeBackups', asked), 'Backup')
    for (const set of sets) {
      const size = `${formatBytes(Number(set['BackupSize']))} (new ${formatBytes(Number(set['NewBytes']))})`
      const fields = ['BackupId', 'BackupEndTime', 'BackupStatus', 'StoreStatus']
      process.stdout.write(`${fields.map((field) => String(set[field])).join('  ')}  ${size}\n`)
    }
    if (sets.length < 100) return
  }
}
