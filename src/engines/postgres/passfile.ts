import { replaceFile } from '../../base/durable-file.ts'
import type { LocalServerPlan } from '../engine.ts'

type Owner = { readonly uid: number; readonly gid: number } | null

/**
 * Where a local standby finds its primary's password: beside its data directory, because every file
 * within becomes part of a backup. Whoever removes the directory removes this file as well.
 */
export function passfileOf(directory: string): string {
  return `${directory}.passfile`
}

/** Writes the file durably, for the server user alone: libpq ignores one that others may read. */
export async function writePassfile(plan: LocalServerPlan, owner: Owner): Promise<void> {
  const line = passfileLine(plan.user, plan.password.reveal())
  await replaceFile(passfileOf(plan.directory), line, 0o600, owner)
}

/**
 * PostgreSQL manual, "The Password File": `host:port:database:user:password`; colons and backslashes
 * are escaped by a backslash. Only the standby of this one primary reads the file, so the port, which
 * may change, stays open.
 */
export function passfileLine(user: string, password: string): string {
  return `127.0.0.1:*:*:${escapeField(user)}:${escapeField(password)}\n`
}

function escapeField(value: string): string {
  return value.replaceAll(/[\\:]/g, '\\$&')
}
