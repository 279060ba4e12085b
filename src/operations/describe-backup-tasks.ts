import { z } from 'zod'
import type { JobId } from '../base/ids.ts'
import { findInstance } from '../catalogue/instances.ts'
import { listBackupJobs } from '../catalogue/jobs.ts'
import type { JobRecord } from '../domain/job.ts'
import { defineOperation } from '../wire/operation.ts'
import { choice, text, wholeNumber } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

const PHASES: Readonly<Record<string, string>> = {
  preparing: 'Preparing',
  uploading: 'Uploading',
  checking: 'Checking',
  'cleaning up': 'Checking',
}

/** The job named by BackupJobId, ended or not; without it, the jobs that have not ended. */
export const DescribeBackupTasks = defineOperation(
  {
    action: 'DescribeBackupTasks',
    summary: { en: 'Shows backup jobs.', zh: '查询备份任务。' },
    access: 'read',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      BackupJobId: wholeNumber('Only this job.', '备份任务 ID。', {
        min: 1,
        max: 2 ** 31 - 1,
        error: 'InvalidParameters.Format',
      }).optional(),
      BackupJobStatus: choice(
        ['NoStart', 'Progressing'],
        'Only jobs in this state.',
        '任务状态。',
        {
          error: 'InvalidParameters.Format',
        },
      ).optional(),
      BackupMode: choice(['Automated', 'Manual'], 'Only jobs of this mode.', '备份模式。', {
        error: 'InvalidParameters.Format',
      }).optional(),
    }),
    response: z.object({
      Items: z.object({
        BackupJob: z.array(
          z.object({
            BackupJobId: z.string(),
            BackupId: z.string().optional(),
            BackupProgressStatus: z.string(),
            BackupStatus: z.string(),
            JobMode: z.string(),
            Process: z.string(),
            TaskAction: z.string(),
            /** Ours: why it failed. */
            FailureReason: z.string().optional(),
          }),
        ),
      }),
    }),
    errors: { 'InvalidParameters.Format': {}, 'InvalidDBInstanceName.NotFound': {} },
  },
  async ({ parameters, refuse }, { catalogue }: Pick<OperationParts, 'catalogue'>) => {
    const named = (parameters.BackupJobId ?? null) as JobId | null
    return catalogue.transaction(async (tx) => {
      const found = await findInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      const jobs = await listBackupJobs(tx, found.instance.id, named)
      const wanted = jobs.filter(
        (job) =>
          (!parameters.BackupMode || job.mode === parameters.BackupMode) &&
          (!parameters.BackupJobStatus ||
            (job.state === 'queued') === (parameters.BackupJobStatus === 'NoStart')),
      )
      return { Items: { BackupJob: wanted.map((job) => show(job, named !== null)) } }
    })
  },
)

function show(job: JobRecord, named: boolean) {
  const status = statusOf(job)
  return {
    BackupJobId: String(job.id),
    // The vendor gives the set's ID only to those who name a finished job.
    ...(named && job.state === 'finished' ? { BackupId: String(job.backupSetId) } : {}),
    BackupProgressStatus: status === 'Failed' ? 'Finished' : status,
    BackupStatus: status,
    JobMode: job.mode,
    Process: String(percentOf(job)),
    TaskAction: job.mode === 'Manual' ? 'TempBackupTask' : 'NormalBackupTask',
    ...(job.cause === null ? {} : { FailureReason: job.cause }),
  }
}

function statusOf(job: JobRecord): string {
  if (job.state === 'queued') return 'NoStart'
  if (job.state === 'finished') return 'Finished'
  if (job.state === 'failed' || job.state === 'cancelled') return 'Failed'
  return PHASES[job.phase] ?? 'Preparing'
}

/** The server's estimate can be too small: never 100 before the end. */
function percentOf(job: JobRecord): number {
  if (job.state === 'finished') return 100
  const { doneBytes, ofBytes } = job.progress
  if (!ofBytes) return 0
  return Math.min(99, Math.floor((100 * doneBytes) / ofBytes))
}
