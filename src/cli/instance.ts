import { Fault } from '../base/fault.ts'
import { readArguments, UsageError } from './arguments.ts'
import { attach, detach } from './attach.ts'
import { type Client, itemsOf, openClient, pollUntil, type Reply } from './client.ts'
import { operatorLog, requireConfig } from './setup.ts'

/** `holdfast instance create|attach|detach|list|show|connect`. */
export async function instance(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const [verb, ...rest] = words
  if (verb === 'attach') return attach(rest, signal)
  if (verb === 'detach') return detach(rest, signal)
  const given = readArguments(rest, {
    endpoint: 'text',
    engine: 'text',
    'engine-version': 'text',
    category: 'text',
    description: 'text',
  })
  if (verb === 'connect') return connect(given.words, signal)
  const client = await openClient(given.text('endpoint'), signal)
  if (verb === 'create') {
    const made = await client.ask('CreateDBInstance', {
      Engine: given.required('engine'),
      EngineVersion: given.required('engine-version'),
      Category: given.text('category') ?? 'HighAvailability',
      DBInstanceDescription: given.text('description') ?? '',
    })
    const id = String(made['DBInstanceId'])
    await pollUntil(() => isRunning(client, id), signal)
    process.stdout.write(`${id}\n`)
  } else if (verb === 'list') {
    await list(client)
  } else if (verb === 'show') {
    const [id] = given.words
    if (!id) throw new UsageError('instance show needs an instance')
    await show(client, id)
  } else {
    throw new UsageError('instance create, attach, detach, list, show or connect')
  }
}

/** Operator: prints the URL of a local instance's primary, password included, for `psql` and others. */
async function connect(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const [id] = words
  if (!id) throw new UsageError('instance connect needs an instance')
  // Loaded here: the other verbs are clients.
  const { openCatalogueBench } = await import('../app/workbench.ts')
  await using bench = await openCatalogueBench(requireConfig(), operatorLog(), signal)
  process.stdout.write(`${(await bench.connectionUrl(id)).reveal()}\n`)
}

/** An instance that could not be made is gone; the service's log says why. */
async function isRunning(client: Client, id: string): Promise<true | null> {
  const reply = await client.call('DescribeDBInstanceAttribute', { DBInstanceId: id })
  const body = (reply.parsed ?? {}) as Reply
  if (body['Code'] === 'InvalidDBInstanceId.NotFound') {
    throw new Fault('unfit', `${id} could not be created`, {
      hint: `the service's log names the cause`,
    })
  }
  const [shown] = itemsOf(body, 'DBInstanceAttribute')
  return shown?.['DBInstanceStatus'] === 'Running' ? true : null
}

/** Of DescribeResourceUsage, in its order. */
const USAGE_PARTS = [
  ...['StoredBytes', 'KeptBytes', 'UndeleteBytes', 'DeadBytes', 'FixedBytes', 'PendingFreedBytes'],
  ...['UndeleteFreedBytes', 'ReleasedBytes', 'FreedBytes'],
]

/** The attributes, and `BackupUsage`: the parts of what the instance's backups take. */
async function show(client: Client, id: string): Promise<void> {
  const reply = await client.ask('DescribeDBInstanceAttribute', { DBInstanceId: id })
  const usage = await client.ask('DescribeResourceUsage', { DBInstanceId: id })
  const parts = USAGE_PARTS.map((name) => [name, usage[name]])
  const [attributes] = itemsOf(reply, 'DBInstanceAttribute')
  // Read a moment later than the attributes: the sum is that of the parts.
  const sum = { BackupStoredBytes: usage['StoredBytes'] }
  const shown = { ...attributes, ...sum, BackupUsage: Object.fromEntries(parts) }
  process.stdout.write(`${JSON.stringify(shown, null, 2)}\n`)
}

async function list(client: Client): Promise<void> {
  for (let page = 1; ; page += 1) {
    const paging = { PageNumber: String(page), PageSize: '100' }
    const shown = itemsOf(await client.ask('DescribeDBInstances', paging), 'DBInstance')
    for (const row of shown) {
      const fields = ['DBInstanceId', 'Engine', 'EngineVersion', 'Category', 'DBInstanceStatus']
      process.stdout.write(`${fields.map((field) => String(row[field])).join('  ')}\n`)
    }
    if (shown.length < 100) return
  }
}
