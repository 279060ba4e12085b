import { randomBytes, randomUUID } from 'node:crypto'

type Branded<T, Name extends string> = T & { readonly _id: Name }

/** `pgm-` + 16 lower-case letters and digits, as RDS names PostgreSQL instances. */
export type InstanceId = Branded<string, 'instance'>
/** A positive whole number below 2³¹, so that every client's number type can hold it. */
export type BackupSetId = Branded<number, 'backup set'>
export type SeriesId = Branded<number, 'series'>
export type JobId = Branded<number, 'job'>
/** Of a hold on a backup set: a positive whole number. */
export type HoldId = Branded<number, 'hold'>
/** An upper-case UUID. */
export type RequestId = Branded<string, 'request'>

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** `length` characters drawn evenly from `a–z0–9` by the system's secure random source. */
export function randomName(length: number): string {
  let name = ''
  while (name.length < length) {
    for (const byte of randomBytes(length)) {
      // 252 = 7 × 36: bytes above it would favour the first letters.
      if (byte < 252 && name.length < length) name += ALPHABET[byte % 36]
    }
  }
  return name
}

export function newInstanceId(): InstanceId {
  return `pgm-${randomName(16)}` as InstanceId
}

export function newRequestId(): RequestId {
  return randomUUID().toUpperCase() as RequestId
}

/** Canonical decimal text only (`7`, never `007` or `+7`), below 2³¹; otherwise null. */
export function parseBackupSetId(text: string): BackupSetId | null {
  if (!/^[1-9]\d{0,9}$/.test(text)) return null
  const id = Number(text)
  return id < 2 ** 31 ? (id as BackupSetId) : null
}
