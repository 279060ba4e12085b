import type { Client } from 'pg'
import { mebibytes } from './report.ts'
import { describeInstance, listSets, takeSet } from './signed-api.ts'
import { withDatabase } from './sql-client.ts'
import type { Instances, Stage } from './stage.ts'
import { advanceClock } from './stage.ts'
import { checksumTables, type TableChecksum } from './table-checksums.ts'
import { workADay } from './workload.ts'

/** A set of the pair, and what every table held when it was taken. */
export interface TakenSet {
  readonly id: string
  readonly day: number
  readonly checksums: readonly TableChecksum[]
}

const SETS = 5

/** Takes five sets, a day apart, with changes between them; leaves the clock at day 4. */
export async function takeSets(stage: Stage, instances: Instances): Promise<readonly TakenSet[]> {
  const { report, signal, api } = stage
  const taken: TakenSet[] = []
  for (let day = 0; day < SETS; day += 1) {
    report.progress(`day ${day}: the tables change`)
    const [checksums] = await Promise.all([
      withDatabase(instances.url, signal, (client) => spendDay(client, stage, day)),
      day > 0 ? advanceClock(stage, '1d') : null,
    ])
    const started = performance.now()
    const onProgress = (text: string) => report.progress(`day ${day}: ${text}`)
    const id = await takeSet(api, instances.pair, onProgress, signal)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    report.line(`day ${day}: set ${id} taken in ${seconds} s`)
    taken.push({ id, day, checksums })
  }
  return taken
}

/** Gives the checksums of what the tables hold in the end. */
async function spendDay(
  client: Client,
  { scale }: Stage,
  day: number,
): Promise<readonly TableChecksum[]> {
  if (day > 0) await workADay(client, scale, day)
  return checksumTables(client)
}

/** Takes the Basic instance's only set. */
export async function takeBasicSet(stage: Stage, basic: string): Promise<string> {
  const { report, api, signal } = stage
  const id = await takeSet(api, basic, (text) => report.progress(text), signal)
  report.line(`set ${id} of the Basic instance taken`)
  return id
}

/** Lists the pair's sets and holds them to what they should be. */
export async function showSets(
  stage: Stage,
  instances: Instances,
  deletableIds: readonly string[],
): Promise<void> {
  const { report, api } = stage
  const sets = await listSets(api, instances.pair)
  report.table([
    ['BackupId', 'BackupEndTime', 'BackupSize', 'NewBytes', 'StoreStatus'],
    ...sets.map((set) => [
      set.id,
      set.endTime,
      mebibytes(set.sizeBytes),
      mebibytes(set.newBytes),
      set.storeStatus,
    ]),
  ])
  const enabled = sets.filter((set) => set.storeStatus === 'Enabled').map((set) => set.id)
  report.check(
    enabled.join() === deletableIds.join(),
    `deletable by hand now (StoreStatus=Enabled): ${enabled.join(', ') || 'none'}`,
  )
}

/** Where the sets came from, and what they cost after the first. */
export async function checkSets(stage: Stage, instances: Instances): Promise<void> {
  const { report, api } = stage
  const sets = await listSets(api, instances.pair)
  const { DBClusterNodes } = await describeInstance(api, instances.pair)
  const standby = standbyOf(DBClusterNodes)
  report.check(
    sets.length === SETS && sets.every((set) => set.node === standby),
    `all ${sets.length} sets were read from the standby ${standby}`,
  )
  const [first, ...later] = sets
  report.check(
    later.every((set) => set.newBytes < (first?.newBytes ?? 0)),
    'every later set stored only what its predecessor did not have',
  )
}

function standbyOf(nodes: unknown): string | undefined {
  const list = (nodes as { DBClusterNode?: readonly Record<string, string>[] }).DBClusterNode
  return list?.find((node) => node['NodeRole'] === 'standby')?.['NodeId']
}
