import { fileURLToPath } from 'node:url'
import type { Instances, Stage } from './stage.ts'

/** Tells how to go on with a demonstration that was left running, and how to end it. */
export function explainKept(stage: Stage, { pair }: Instances, setId: string): void {
  const { report, service, folder } = stage
  const { setup } = service
  // A checkout sets itself up first; the installed package has its own way to the right Node.js.
  const starter = import.meta.url.endsWith('.ts') ? 'script' : 'bin'
  const holdfast = fileURLToPath(new URL(`../../${starter}/holdfast`, import.meta.url))
  // Not the folder for temporary files: it is the service's own.
  const { TMPDIR, ...environment } = setup.environment
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  report.part('Left running')
  report.line(`endpoint           ${setup.endpoint}`)
  report.line(`access key ID      ${setup.accessKeyId}`)
  report.line(`access key secret  ${setup.accessKeySecret.reveal()}`)
  report.line()
  report.line('To try, in a shell:')
  report.line()
  report.line(`export ${assignments.join(' \\\n     ')}`)
  report.line(`${holdfast} call DescribeBackups --DBInstanceId ${pair}`)
  report.line(`${holdfast} call PreviewDeleteBackup --DBInstanceId ${pair} --BackupId ${setId}`)
  report.line(
    `${holdfast} call DeleteBackup --DBInstanceId ${pair} --BackupId ${setId} --Format XML`,
  )
  report.line()
  report.line('To end it (the service stops what it started, which takes a few seconds):')
  report.line()
  report.line(`kill ${service.pid}; tail --pid=${service.pid} -f /dev/null; rm -r ${folder.path}`)
}
