import { sql } from 'kysely'
import { pause, rest } from '../base/clock.ts'
import { describeError, Fault } from '../base/fault.ts'
import { randomName } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { createSeldom } from '../base/seldom.ts'
import { isConnectionLoss, LOSS_LOGGED_MS } from './connection-loss.ts'
import type { Catalogue } from './database.ts'
import { sqlOf } from './database.ts'

/** By the database's real time, never the service clock. */
const LEASE_SECONDS = 15
const RENEW_MS = 4_000

/**
 * Runs `duty` whenever this process holds the lease of that name, again after it ends or fails, until
 * `signal` aborts. The duty's own signal aborts as soon as the lease cannot be renewed. `elsewhere` is
 * called, about once a second, while another process holds it.
 */
export async function runUnderLease(
  catalogue: Catalogue,
  name: string,
  log: Logger,
  duty: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
  elsewhere: () => Promise<void> = async () => {},
): Promise<void> {
  const holder = randomName(16)
  const seldom = createSeldom(LOSS_LOGGED_MS)
  while (!signal.aborted) {
    try {
      if (await acquire(catalogue, name, holder)) {
        await holdWhile(catalogue, name, holder, duty, signal)
      } else {
        await elsewhere()
      }
    } catch (error) {
      const passedOver = isConnectionLoss(error) ? seldom() : 0
      if (!signal.aborted && passedOver !== null) {
        log.warn('duty interrupted', { duty: name, error: describeError(error), passedOver })
      }
    }
    await rest(1_000, signal)
  }
  await release(catalogue, name, holder)
}

/** For a process that knows it is alone with the catalogue: the holders of all leases are dead. */
export async function releaseAllLeases(catalogue: Catalogue): Promise<void> {
  await catalogue.transaction((tx) => sql`delete from lease`.execute(sqlOf(tx)))
}

/**
 * Runs `work` once while this process holds the leases of all `names`, which are taken in one order by
 * everyone and waited for. `waiting` is told which one is being waited for, about once a second.
 */
export async function runHolding<T>(
  catalogue: Catalogue,
  names: readonly string[],
  work: (signal: AbortSignal) => Promise<T>,
  waiting: (name: string) => void,
  signal: AbortSignal,
): Promise<T> {
  const [name, ...rest] = [...new Set(names)].sort()
  if (name === undefined) return work(signal)
  const holder = randomName(16)
  while (!(await acquire(catalogue, name, holder))) {
    waiting(name)
    await pause(1_000, signal)
  }
  try {
    const inner = (held: AbortSignal) => runHolding(catalogue, rest, work, waiting, held)
    return await holdWhile(catalogue, name, holder, inner, signal)
  } finally {
    await release(catalogue, name, holder)
  }
}

async function holdWhile<T>(
  catalogue: Catalogue,
  name: string,
  holder: string,
  duty: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const lost = new AbortController()
  let over = false
  const held = AbortSignal.any([signal, lost.signal])
  const renewing = (async () => {
    while (!held.aborted) {
      await pause(RENEW_MS, held)
      if (!(await acquire(catalogue, name, holder))) break
    }
  })()
    .catch(() => {
      // A failed renewal counts as a lost lease; the duty's end counts as the end of renewing.
    })
    .finally(() => {
      if (!over) lost.abort(new Fault('transient', `the lease ${name} was lost`))
    })
  try {
    return await duty(held)
  } finally {
    over = true
    lost.abort()
    await renewing
  }
}

async function acquire(catalogue: Catalogue, name: string, holder: string): Promise<boolean> {
  const { rows } = await catalogue.transaction((tx) =>
    sql`
      insert into lease as l (name, holder, lease_until)
      values (${name}, ${holder}, now() + ${LEASE_SECONDS} * interval '1 second')
      on conflict (name) do update set holder = excluded.holder, lease_until = excluded.lease_until
      where l.holder = excluded.holder or l.lease_until < now()
      returning 1`.execute(sqlOf(tx)),
  )
  return rows.length === 1
}

async function release(catalogue: Catalogue, name: string, holder: string): Promise<void> {
  await catalogue
    .transaction((tx) =>
      sql`delete from lease where name = ${name} and holder = ${holder}`.execute(sqlOf(tx)),
    )
    .catch(() => {
      // The catalogue is gone already; the lease runs out by itself.
    })
}
