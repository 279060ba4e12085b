import { type CallReply, describeRequest } from '../wire/client.ts'
import { bodyOf, listSets, previewDeletion } from './signed-api.ts'
import { catalogueBytes, type Instances, type Stage } from './stage.ts'

/** A deletion that must be refused. */
interface Refused {
  readonly title: string
  readonly instanceId: string
  readonly ids: readonly string[]
  readonly format: 'JSON' | 'XML'
  readonly code: string
  /** What the message must name. */
  readonly evidence: readonly string[]
}

interface Named {
  /** A set that may be deleted. */
  readonly eligible: string
  /** The newest one. */
  readonly young: string
  readonly basicSet: string
}

const TOO_YOUNG = 'OperationDenied.BackupSetDeleteNotSupport'

/** Asks for three deletions that the rules refuse, and looks that nothing changed by it. */
export async function showRefusals(stage: Stage, instances: Instances, sets: Named): Promise<void> {
  const { report, api } = stage
  const { pair, basic } = instances
  const before = await observe(stage, instances)
  const preview = await previewDeletion(api, pair, [sets.young])
  const deletableTime = String(preview.sets[0]?.['DeletableTime'])
  const young = ['set-old-enough', `backup set ${sets.young}`, deletableTime]
  const refusals: readonly Refused[] = [
    {
      title: `A young set (${sets.young})`,
      ...{ instanceId: pair, ids: [sets.young], format: 'JSON', code: TOO_YOUNG, evidence: young },
    },
    {
      title: `A set that may go (${sets.eligible}) together with a young one (${sets.young})`,
      instanceId: pair,
      ids: [sets.eligible, sets.young],
      ...{ format: 'XML', code: TOO_YOUNG, evidence: young },
    },
    {
      title: `The Basic instance's set (${sets.basicSet})`,
      ...{ instanceId: basic, ids: [sets.basicSet], format: 'JSON' },
      code: 'IncorrectDBInstanceType',
      evidence: ['category-supported', 'category Basic'],
    },
  ]
  for (const refused of refusals) await showRefusal(stage, refused)
  report.check(
    (await observe(stage, instances)) === before,
    'nothing changed: the same sets, the same bytes',
  )
}

async function showRefusal(stage: Stage, refused: Refused): Promise<void> {
  const { report, api } = stage
  const { instanceId, ids, format, code, evidence } = refused
  const asked = { DBInstanceId: instanceId, BackupId: ids.join(',') }
  const reply = await api.call('DeleteBackup', asked, format)
  report.line()
  report.line(`${refused.title}. The request:`)
  report.quote(describeRequest(reply.request))
  report.line(`The reply, HTTP ${reply.status}, ${reply.headers.get('content-type')}:`)
  report.quote(reply.body)
  const said = readRefusal(reply)
  report.check(
    reply.status === 403 && said.code === code,
    `refused: ${said.code} (${format}, HTTP ${reply.status})`,
  )
  report.check(
    evidence.every((text) => said.message.includes(text)),
    `the reply names ${evidence.join(', ')}`,
  )
}

function readRefusal(reply: CallReply): { readonly code: string; readonly message: string } {
  const body = bodyOf(reply)
  const field = (name: string) =>
    String(body[name] ?? new RegExp(`<${name}>([^<]*)</${name}>`).exec(reply.body)?.[1] ?? '')
  return { code: field('Code'), message: field('Message') }
}

/** All that a refused deletion must leave as it was. */
async function observe(stage: Stage, instances: Instances): Promise<string> {
  const ids = []
  for (const instanceId of [instances.pair, instances.basic]) {
    ids.push(...(await listSets(stage.api, instanceId)).map((set) => set.id))
  }
  return `${ids.join()}: ${await catalogueBytes(stage, instances)}`
}
