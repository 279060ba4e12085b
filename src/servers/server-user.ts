import { chown, lchown, lstat, readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Fault } from '../base/fault.ts'

/** The account under which database servers run. */
export interface ServerUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** Accounts that systems come with, the best first. */
const DEFAULTS = ['postgres', 'nobody']

/**
 * Under whom servers of local instances run: null = as this process. A process of root must hand
 * over to another account, because `initdb` and `postgres` refuse root and any user without an entry
 * in the user list: the named one, else `postgres`, else `nobody`.
 */
export async function resolveServerUser(
  name: string | null,
  processUid: number,
  userList = '/etc/passwd',
): Promise<ServerUser | null> {
  return chooseUser(await readUsers(userList), name, DEFAULTS, processUid)
}

/** The named account, else the first of `defaults` that there is; null unless this process is root. */
export function chooseUser(
  users: ReadonlyMap<string, ServerUser>,
  name: string | null,
  defaults: readonly string[],
  processUid: number,
): ServerUser | null {
  if (processUid !== 0) {
    if (name === null || users.get(name)?.uid === processUid) return null
    throw new Fault('unfit', `only root can run servers as ${name}`, {
      hint: `leave the user out, or start this service as ${name} or as root`,
    })
  }
  const hint = 'name an existing unprivileged user for the database servers'
  const asked = name === null ? defaults : [name]
  const user = asked.map((one) => users.get(one)).find((one) => one !== undefined)
  if (!user) throw new Fault('unfit', `there is no user ${asked.join(', nor ')}`, { hint })
  if (user.uid === 0) {
    throw new Fault('unfit', `${user.name} is root, and PostgreSQL refuses to run as root`, {
      hint,
    })
  }
  return user
}

/** The accounts of this system, by name. */
export async function readUsers(userList: string): Promise<ReadonlyMap<string, ServerUser>> {
  const users = new Map<string, ServerUser>()
  for (const line of (await readFile(userList, 'utf8')).split('\n')) {
    const [name, , uid, gid] = line.split(':')
    if (!name || !/^\d+$/.test(uid ?? '') || !/^\d+$/.test(gid ?? '')) continue
    users.set(name, { name, uid: Number(uid), gid: Number(gid) })
  }
  return users
}

/** `uid` and `gid` for `spawn`; nothing when servers run as this process does. */
export function spawnIds(user: ServerUser | null): { uid?: number; gid?: number } {
  return user === null ? {} : { uid: user.uid, gid: user.gid }
}

/** Gives a path to the server user; nothing to do when servers run as this process does. */
export async function giveToUser(path: string, user: ServerUser | null): Promise<void> {
  if (user !== null) await chown(path, user.uid, user.gid)
}

/**
 * Gives a whole tree to the server user, never following a link out of it. The directory itself is
 * closed to everyone but root until all that is in it has passed over: so nobody can exchange a
 * file for a link meanwhile, and one that root still owns was not finished.
 */
export async function giveTreeToUser(directory: string, user: ServerUser | null): Promise<void> {
  if (user === null) return
  await lchown(directory, 0, 0)
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    await lchown(join(entry.parentPath, entry.name), user.uid, user.gid)
  }
  await lchown(directory, user.uid, user.gid)
}

/**
 * Gives a data directory to the user under which its server runs from now on; nothing to do when it
 * is the user's already. No server may run on it, and its mode must keep others out (0700).
 */
export async function takeOverDirectory(directory: string, user: ServerUser | null): Promise<void> {
  const facts = await lstat(directory).catch(() => null)
  if (facts === null || user === null || facts.uid === user.uid) return
  if (!facts.isDirectory()) throw new Fault('unfit', `${directory} is not a directory`)
  await giveTreeToUser(directory, user)
}

/**
 * The first folder on the way to `path` (itself included, when it is one) that the user cannot pass
 * through; null when the way is free. What does not exist yet is no obstacle.
 */
export async function firstClosedFolder(
  path: string,
  user: ServerUser | null,
): Promise<string | null> {
  if (user === null) return null
  const way: string[] = []
  for (let folder = path; ; folder = dirname(folder)) {
    way.unshift(folder)
    if (folder === dirname(folder)) break
  }
  for (const folder of way) {
    const facts = await stat(folder).catch(() => null)
    if (facts === null) return (await lstat(folder).catch(() => null)) === null ? null : folder
    if (facts.isDirectory() && !mayPass(facts, user)) return folder
  }
  return null
}

/** Throws unless the server user can pass through every folder on the way to `path`. */
export async function requireOpenWay(path: string, user: ServerUser | null): Promise<void> {
  const closed = await firstClosedFolder(dirname(path), user)
  if (closed === null || user === null) return
  throw new Fault('denied', `the user ${user.name} cannot pass through ${closed} to ${path}`, {
    hint: `chmod o+x ${closed}, or choose a data folder that ${user.name} can reach`,
  })
}

function mayPass(
  facts: { readonly uid: number; readonly gid: number; readonly mode: number },
  user: ServerUser,
): boolean {
  if (facts.uid === user.uid) return (facts.mode & 0o100) !== 0
  if (facts.gid === user.gid) return (facts.mode & 0o010) !== 0
  return (facts.mode & 0o001) !== 0
}
