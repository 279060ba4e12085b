import { chown, lstat, readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Fault } from '../base/fault.ts'

/** The account under which database servers run. */
export interface ServerUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/**
 * Under whom servers run: null = as this process. A process of root must hand over to another
 * account, because `initdb` and `postgres` refuse root and any user without an entry in the user
 * list: the named one, else `postgres`, else `nobody`.
 */
export async function resolveServerUser(
  name: string | null,
  processUid: number,
  userList = '/etc/passwd',
): Promise<ServerUser | null> {
  const users = parseUsers(await readFile(userList, 'utf8'))
  if (processUid !== 0) {
    if (name !== null && users.get(name)?.uid !== processUid) {
      throw new Fault('unfit', `only root can run servers as ${name}`, {
        hint: `leave the server user out, or start this service as ${name} or as root`,
      })
    }
    return null
  }
  if (name === null) {
    const user = users.get('postgres') ?? users.get('nobody')
    if (user) return user
    throw new Fault('unfit', 'there is neither a user postgres nor a user nobody', {
      hint: 'name an existing unprivileged user for the database servers',
    })
  }
  const user = users.get(name)
  if (!user) {
    throw new Fault('unfit', `there is no user ${name} in ${userList}`, {
      hint: 'name an existing unprivileged user for the database servers',
    })
  }
  if (user.uid === 0) {
    throw new Fault('unfit', `${name} is root, and PostgreSQL refuses to run as root`, {
      hint: 'name an unprivileged user for the database servers',
    })
  }
  return user
}

/** `uid` and `gid` for `spawn`; nothing when servers run as this process does. */
export function spawnIds(user: ServerUser | null): { uid?: number; gid?: number } {
  return user === null ? {} : { uid: user.uid, gid: user.gid }
}

/** Gives a path to the server user; nothing to do when servers run as this process does. */
export async function giveToUser(path: string, user: ServerUser | null): Promise<void> {
  if (user !== null) await chown(path, user.uid, user.gid)
}

/** Gives a whole tree to the server user, never following a link out of it. */
export async function giveTreeToUser(directory: string, user: ServerUser | null): Promise<void> {
  if (user === null) return
  await chown(directory, user.uid, user.gid)
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chown(join(entry.parentPath, entry.name), user.uid, user.gid)
  }
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

function parseUsers(text: string): Map<string, ServerUser> {
  const users = new Map<string, ServerUser>()
  for (const line of text.split('\n')) {
    const [name, , uid, gid] = line.split(':')
    if (!name || !/^\d+$/.test(uid ?? '') || !/^\d+$/.test(gid ?? '')) continue
    users.set(name, { name, uid: Number(uid), gid: Number(gid) })
  }
  return users
}
