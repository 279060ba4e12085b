import { sql } from 'kysely'
import { type Instant, instant } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import { createReceiptChain, type ReceiptChain } from '../base/receipt-chain.ts'
import { Secret } from '../base/secret.ts'
import { type Catalogue, sqlOf } from '../catalogue/database.ts'
import { appendReceipt } from '../catalogue/receipts.ts'
import type { NewReceipt } from '../domain/receipt.ts'

/** 2026-11-24T07:05:40.123Z, when everything in tests of receipts happens. */
export const TEST_MOMENT: Instant = instant(1_795_503_940_123)

/** A chain under a key of 32 equal bytes. */
export function testChain(byte = 7): ReceiptChain {
  return createReceiptChain(new Secret(new Uint8Array(32).fill(byte)))
}

/** A receipt of a deletion by hand. */
export function deletionOf(instanceId: string, changed: Partial<NewReceipt> = {}): NewReceipt {
  return {
    kind: 'delete',
    instanceId: instanceId as InstanceId,
    at: TEST_MOMENT,
    requestId: '0F0A8FCA-9D71-4A4B-9C7B-5D1F6E0C4C11',
    actor: { accessKeyId: 'testAccessKeyId', user: 'root', address: '127.0.0.1' },
    details: { backupIds: ['100000001'], freedBytes: 12345 },
    ...changed,
  }
}

/** Appends `count` receipts to a chain, each in a transaction of its own. */
export async function appendReceipts(
  catalogue: Catalogue,
  chain: ReceiptChain,
  instanceId: string,
  count: number,
): Promise<void> {
  for (let made = 0; made < count; made += 1) {
    await catalogue.transaction((tx) => appendReceipt(tx, chain, deletionOf(instanceId)))
  }
}

/** A statement of somebody who may do everything with the catalogue, its triggers left aside. */
export async function tamper(catalogue: Catalogue, statement: string): Promise<void> {
  await catalogue.transaction(async (tx) => {
    await sql`set local session_replication_role = 'replica'`.execute(sqlOf(tx))
    await sql.raw(statement).execute(sqlOf(tx))
  })
}
