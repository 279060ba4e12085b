import { stat } from 'node:fs/promises'
import type { Clock, Instant } from '../base/clock.ts'
import { machineNow } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { createReceiptChain, type ReceiptChain } from '../base/receipt-chain.ts'
import { createSealer, type Sealer } from '../base/sealing.ts'
import { Secret } from '../base/secret.ts'
import { accessKeyIds, putOnlyAccessKey } from '../catalogue/access.ts'
import type { Catalogue } from '../catalogue/database.ts'
import {
  readClockOffset,
  readDevelopmentClock,
  readKeyCheck,
  recordDevelopmentClock,
  recordKeyCheck,
} from '../catalogue/settings.ts'
import type { Config } from '../config/config.ts'
import { readAccessKey, readSealingKey } from '../config/secrets.ts'

/** Service time: the machine's plus the development clock's offset, which only grows. */
export interface ServiceClock extends Clock {
  readonly development: boolean
  readonly offsetMs: number
  /** Reads the offset anew; does nothing without a development clock. */
  refresh(): Promise<void>
}

/**
 * A catalogue has a development clock for ever or never: decided at its first start. Null takes it as
 * it was made (operator commands).
 */
export async function openServiceClock(
  catalogue: Catalogue,
  wanted: boolean | null,
): Promise<ServiceClock> {
  const made = await catalogue.transaction(async (tx) => {
    if (wanted !== null) await recordDevelopmentClock(tx, wanted)
    return (await readDevelopmentClock(tx)) ?? false
  })
  if (wanted !== null && made !== wanted) {
    throw new Fault(
      'denied',
      made
        ? 'this service was made with a development clock'
        : 'this service was not made with a development clock',
      {
        hint: made
          ? 'start with --development-clock (and no --role, or --role all)'
          : 'start without --development-clock, or begin with another catalogue and storage',
      },
    )
  }
  let offsetMs = 0
  const refresh = async () => {
    if (made) offsetMs = Math.max(offsetMs, await catalogue.transaction(readClockOffset))
  }
  await refresh()
  return {
    development: made,
    get offsetMs() {
      return offsetMs
    },
    now: () => (machineNow() + offsetMs) as Instant,
    refresh,
  }
}

/** What is done with the key file of a catalogue. */
export interface Keys {
  readonly sealer: Sealer
  readonly receipts: ReceiptChain
}

/**
 * Opens the key file that belongs to this catalogue; another one is a Fault `denied`. A missing one is
 * made where `make` says so, and only while nothing was sealed.
 */
export async function openKeys(
  keyFile: string,
  catalogue: Catalogue,
  make: boolean,
): Promise<Keys> {
  const check = await catalogue.transaction(readKeyCheck)
  const key = await readSealingKey(keyFile, make && check === null)
  const sealer = createSealer(key)
  if (check) sealer.open(check)
  else await catalogue.transaction((tx) => recordKeyCheck(tx, sealer.seal(new Secret('holdfast'))))
  return { sealer, receipts: createReceiptChain(key) }
}

interface KeyPlace {
  readonly config: Pick<Config, 'accessKey'>
  /** Where a key that is made is kept. */
  readonly file: string
  /** Whether no other process serves this catalogue: else a key that is there was not made here. */
  readonly alone: boolean
  readonly catalogue: Catalogue
  readonly sealer: Sealer
  readonly log: Logger
}

/**
 * The key that is configured becomes the only one, else the one that is kept in the file, which is
 * made at the first start. Of several processes the first one's stays; another one that neither is told
 * the key nor keeps it leaves it as it is, and says so. Gives the file when the key is in it.
 */
export async function recordAccessKey(place: KeyPlace): Promise<string | null> {
  const { config, file, alone, catalogue, sealer, log } = place
  if (config.accessKey === null && !alone) {
    const known = await catalogue.transaction(accessKeyIds)
    if (known.length > 0 && !known.includes((await keptKeyId(file)) ?? '')) {
      const advice =
        'set HOLDFAST_ACCESS_KEY_ID and HOLDFAST_ACCESS_KEY_SECRET for every process, or copy ' +
        `access-key.json of the process that was started first to ${file}`
      log.warn('the access key was made by another process', { accessKeyIds: known, advice })
      return null
    }
  }
  const key = config.accessKey ?? (await readAccessKey(file))
  const secretSealed = sealer.seal(key.secret)
  const replaced = await catalogue.transaction((tx) =>
    putOnlyAccessKey(tx, { accessKeyId: key.id, secretSealed, userName: 'root' }),
  )
  if (replaced.length > 0) log.warn('access key replaced', { accessKeyId: key.id, replaced })
  return config.accessKey ? null : file
}

async function keptKeyId(file: string): Promise<string | null> {
  if ((await stat(file).catch(() => null)) === null) return null
  return (await readAccessKey(file)).id
}
