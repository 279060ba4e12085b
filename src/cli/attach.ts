import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { Fault, fileFault } from '../base/fault.ts'
import { readEnvironment } from '../config/environment.ts'
import { accessPreparation } from '../domain/access.ts'
import { readArguments, UsageError } from './arguments.ts'
import { type Client, openClient, pollUntil, type Reply } from './client.ts'

const FLAGS = {
  endpoint: 'text',
  engine: 'text',
  primary: 'text',
  standby: 'list',
  id: 'text',
  type: 'text',
  of: 'text',
  description: 'text',
  'password-file': 'text',
  'ssl-root-cert': 'text',
  'ssl-cert': 'text',
  'ssl-key': 'text',
  'max-rate': 'text',
  'allow-plain-text': 'switch',
  'deletion-protection': 'switch',
  'print-sql': 'switch',
  role: 'text',
  from: 'text',
} as const

/**
 * `holdfast instance attach`: waits until the servers have been looked at, prints the new instance's
 * ID, or every problem with what to change. `--print-sql` prints what to prepare on the server.
 */
export async function attach(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const given = readArguments(words, FLAGS)
  if (given.words.length > 0) throw new UsageError(`instance attach takes no ${given.words[0]}`)
  if (given.on('print-sql')) {
    const from = given.text('from')?.split(',') ?? ['<address of this service>/32']
    process.stdout.write(accessPreparation(given.text('role') ?? 'holdfast', from))
    return
  }
  const urls = [given.required('primary'), ...given.list('standby')]
  if (urls.some(holdsPassword)) {
    throw new UsageError(
      'a password on the command line can be read by everyone on this host: give it by ' +
        '--password-file, PGPASSWORD or at the prompt',
    )
  }
  const client = await openClient(given.text('endpoint'), signal)
  const password = await readPassword(given.text('password-file'), signal)
  const optional = {
    StandbyUrls: given.list('standby').join(' '),
    Password: password,
    DBInstanceId: given.text('id'),
    DBInstanceType: given.text('type'),
    MasterDBInstanceId: given.text('of'),
    DBInstanceDescription: given.text('description'),
    SslRootCert: await readPem(given.text('ssl-root-cert')),
    SslCert: await readPem(given.text('ssl-cert')),
    SslKey: await readPem(given.text('ssl-key')),
    MaxRate: given.text('max-rate'),
    AllowPlainText: given.on('allow-plain-text') ? 'true' : null,
    DeletionProtection: given.on('deletion-protection') ? 'true' : null,
  }
  const asked = Object.entries(optional).filter(([, value]) => value !== null && value !== '')
  const made = await client.ask('AttachDBInstance', {
    Engine: given.required('engine'),
    PrimaryUrl: given.required('primary'),
    ...(Object.fromEntries(asked) as Record<string, string>),
  })
  const id = String(made['DBInstanceId'])
  await awaitOutcome(client, id, signal)
  process.stdout.write(`${id}\n`)
}

/** `holdfast instance detach <instance>`: nothing on its servers is stopped or deleted. */
export async function detach(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const given = readArguments(words, { endpoint: 'text', keep: 'text', unreachable: 'switch' })
  const [id] = given.words
  if (!id) throw new UsageError('instance detach needs an instance')
  const client = await openClient(given.text('endpoint'), signal)
  const keep = given.text('keep')
  const reply = await client.ask('DeleteDBInstance', {
    DBInstanceId: id,
    ...(keep === null ? {} : { ReleasedKeepPolicy: keep }),
    ...(given.on('unreachable') ? { Unreachable: 'true' } : {}),
  })
  await pollUntil(() => isGone(client, id), signal)
  const left = (reply['LeftOnServers'] as Reply | undefined)?.['LeftOnServer']
  process.stdout.write(`${id} is detached\n`)
  if (!Array.isArray(left) || left.length === 0) return
  process.stdout.write('Left on the servers, to be removed there by hand:\n')
  for (const line of left) process.stdout.write(`  ${line}\n`)
}

async function awaitOutcome(client: Client, id: string, signal: AbortSignal): Promise<void> {
  const task = await pollUntil(async () => {
    const reply = await client.ask('DescribeAttachTask', { DBInstanceId: id })
    return reply['Status'] === 'Running' ? null : reply
  }, signal)
  if (task['Status'] === 'Succeed') return
  const problems = (task['Problems'] as Reply | undefined)?.['Problem'] as readonly Reply[]
  const lines = problems.map(
    ({ Server, Problem, Advice }) => `  ${Server}: ${Problem}\n      → ${Advice}`,
  )
  throw new Fault('unfit', `the servers cannot be attached yet:\n${lines.join('\n')}`, {
    hint: 'nothing was kept; change this and ask again (--print-sql shows what a server needs)',
  })
}

async function isGone(client: Client, id: string): Promise<true | null> {
  const reply = await client.call('DescribeDBInstanceAttribute', { DBInstanceId: id })
  const body = (reply.parsed ?? {}) as Reply
  return body['Code'] === 'InvalidDBInstanceId.NotFound' ? true : null
}

function holdsPassword(url: string): boolean {
  return URL.canParse(url) && new URL(url).password !== ''
}

/** From the file, else PGPASSWORD, else the prompt; none where nobody can be asked. */
async function readPassword(file: string | null, signal: AbortSignal): Promise<string | null> {
  if (file !== null) return (await readText(file)).replace(/\r?\n$/, '')
  const { PGPASSWORD } = readEnvironment()
  if (PGPASSWORD) return PGPASSWORD
  if (!process.stdin.isTTY) return null
  process.stderr.write('Password of the role (empty: none): ')
  // What is typed is not shown.
  const output = new Writable({ write: (_piece, _encoding, done) => done() })
  const prompt = createInterface({ input: process.stdin, output, terminal: true })
  try {
    return await prompt.question('', { signal })
  } finally {
    prompt.close()
    process.stderr.write('\n')
  }
}

function readPem(file: string | null): Promise<string> | null {
  return file === null ? null : readText(file)
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw fileFault(error, `cannot read ${file}`)
  }
}
