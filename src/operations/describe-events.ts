import { z } from 'zod'
import { isoSeconds } from '../base/clock.ts'
import {
  type DescribedEvent,
  describeEvents,
  type EventFilter,
  type ShownKind,
} from '../catalogue/described-events.ts'
import type { EventDetails } from '../domain/event.ts'
import { type Actor, type ReceiptKind, readBody, SYSTEM } from '../domain/receipt.ts'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'
import {
  PAGE_ERRORS,
  pageOf,
  pageParameters,
  rangeOf,
  TIME_ERRORS,
  TIME_PARAMETERS,
} from './set-list-parameters.ts'

/** The API action that a receipt is told as. What has none of its own is told as its beginning. */
const ACTIONS: Readonly<Record<ReceiptKind, string>> = {
  delete: 'DeleteBackup',
  expire: 'DeleteBackup',
  undelete: 'UndeleteBackup',
  purge: 'PurgeDeletedBackup',
  reclaim: 'PurgeDeletedBackup',
  hold: 'HoldBackup',
  'release-hold': 'ReleaseBackupHold',
  'modify-policy': 'ModifyBackupPolicy',
  'remove-instance': 'DeleteDBInstance',
}

const EventItem = z.object({
  EventId: z.number(),
  EventName: z.string(),
  EventType: z.string(),
  EventTime: z.string(),
  EventRecordTime: z.string(),
  EventReason: z.string(),
  EventUserType: z.string(),
  CallerUid: z.number(),
  EventPayload: z.string(),
  ResourceType: z.string(),
  ResourceName: z.string(),
  RegionId: z.string(),
})

/** Lists receipts, refused calls and ends of backups, newest first. */
export const DescribeEvents = defineOperation(
  {
    action: 'DescribeEvents',
    summary: { en: 'Lists what happened to instances.', zh: '查询实例的历史事件。' },
    access: 'read',
    resource: 'account',
    origin: 'vendor',
    parameters: z.object({
      RegionId: text('The region.', '地域 ID。'),
      DBInstanceId: text('Ours: of this instance only.', '实例 ID（本服务扩展）。').optional(),
      ...TIME_PARAMETERS,
      ...pageParameters(1, 100),
    }),
    response: z.object({
      EventItems: z.object({ EventItems: z.array(EventItem) }),
      PageNumber: z.number(),
      PageSize: z.number(),
      TotalRecordCount: z.number(),
    }),
    errors: {
      'InvalidRegion.NotFound': {},
      ...TIME_ERRORS,
      ...PAGE_ERRORS,
    },
  },
  async (
    { parameters, refuse },
    { catalogue, region }: Pick<OperationParts, 'catalogue' | 'region'>,
  ) => {
    if (parameters.RegionId !== region) throw refuse('InvalidRegion.NotFound')
    const { DBInstanceId = null, PageNumber = 1 } = parameters
    const page = pageOf(parameters)
    const filter: EventFilter = { instanceId: DBInstanceId, ...rangeOf(parameters, refuse) }
    const { events, total } = await catalogue.snapshot((tx) => describeEvents(tx, filter, page))
    return {
      EventItems: { EventItems: events.map((event) => show(event, region)) },
      PageNumber,
      PageSize: page.limit,
      TotalRecordCount: total,
    }
  },
)

interface Told {
  readonly api: string
  readonly actor: Actor
  readonly payload: object
}

function show(event: DescribedEvent, region: string) {
  const { api, actor, payload } =
    event.source === 'receipt'
      ? tellReceipt(event.kind, event.body)
      : tellEvent(event.kind, event.details)
  const bySystem = actor.user === SYSTEM.user
  const at = isoSeconds(event.at)
  return {
    EventId: event.id,
    EventName: api,
    EventType: api === 'DeleteDBInstance' ? 'InstanceManagement' : 'BackupRecovery',
    EventTime: at,
    // Written in the transaction of what happened.
    EventRecordTime: at,
    EventReason: bySystem ? 'FROM_SYSTEM' : 'FROM_USER',
    EventUserType: bySystem ? 'SYSTEM' : 'USER',
    // This service is one account; 0 is the service itself.
    CallerUid: bySystem ? 0 : 1,
    EventPayload: JSON.stringify({
      Domain: 'holdfast',
      Api: api,
      Kind: event.kind,
      User: actor.user,
      AccessKeyId: actor.accessKeyId,
      SourceAddress: actor.address,
      ...payload,
    }),
    ResourceType: 'instance',
    ResourceName: event.instanceId ?? '',
    RegionId: region,
  }
}

/** A body that somebody has spoilt is still listed; `holdfast receipts verify` says what it is. */
function tellReceipt(kind: ReceiptKind, body: string): Told {
  const receipt = readBody(body)
  const api = ACTIONS[kind] ?? kind
  if (receipt === null) return { api, actor: SYSTEM, payload: { Receipt: null } }
  const { requestId, number, details, actor } = receipt
  return { api, actor, payload: { RequestId: requestId, Receipt: number, Details: details } }
}

function tellEvent(kind: ShownKind, details: EventDetails): Told {
  if (kind !== 'call-refused') {
    return { api: 'CreateBackup', actor: SYSTEM, payload: { Details: details } }
  }
  const { action, user, accessKeyId, address, requestId, ...why } = details
  const actor = { accessKeyId: textOf(accessKeyId), user: String(user), address: textOf(address) }
  return { api: String(action), actor, payload: { RequestId: requestId, Details: why } }
}

/** Events hold an empty text where there is nothing. */
function textOf(value: EventDetails[string] | undefined): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}
