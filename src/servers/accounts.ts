import { chooseUser, readUsers, resolveServerUser, type ServerUser } from './server-user.ts'

/** The accounts that were asked for; null: a default. */
export interface AccountNames {
  readonly serverUser: string | null
  readonly catalogueUser: string | null
}

/** Under whom servers run: null = as this process. */
export interface ServerAccounts {
  readonly local: ServerUser | null
  readonly catalogue: ServerUser | null
  /** What others than root could reach because of this choice; for people. */
  readonly warnings: readonly string[]
}

/** An account of our own, else one that systems come with, the best first. */
const CATALOGUE_DEFAULTS = ['holdfast', 'postgres', 'daemon', 'nobody']
/** What other programs of a system run as, too. */
const SHARED: ReadonlySet<string> = new Set(['postgres', 'daemon', 'nobody'])

/**
 * The account of the catalogue's server: the named one, else the first of `holdfast`, `postgres`,
 * `daemon` and `nobody` that is not `local`, the account of local instances; that one only where
 * there is no other.
 */
export async function resolveCatalogueUser(
  name: string | null,
  local: ServerUser | null,
  processUid: number,
  userList = '/etc/passwd',
): Promise<ServerUser | null> {
  const users = await readUsers(userList)
  const others = CATALOGUE_DEFAULTS.filter((other) => users.get(other)?.uid !== local?.uid)
  const defaults = local === null ? others : [...others, local.name]
  return chooseUser(users, name, defaults, processUid)
}

/** Both accounts, and what is to be said about them. */
export async function resolveServerAccounts(
  names: AccountNames,
  processUid: number,
  userList = '/etc/passwd',
): Promise<ServerAccounts> {
  const local = await resolveServerUser(names.serverUser, processUid, userList)
  const catalogue = await resolveCatalogueUser(names.catalogueUser, local, processUid, userList)
  return { local, catalogue, warnings: warningsOf(local, catalogue, names.catalogueUser) }
}

function warningsOf(
  local: ServerUser | null,
  catalogue: ServerUser | null,
  asked: string | null,
): readonly string[] {
  if (local === null || catalogue === null) {
    return [
      'all database servers run as the user of this service, so a superuser of a local instance ' +
        'can read and change the catalogue, the storage and the keys: give that role to nobody ' +
        'else, attach servers that run elsewhere, or start as root',
    ]
  }
  if (local.uid === catalogue.uid) {
    return [
      `the catalogue's server runs as ${local.name}, and so do the servers of local instances, so ` +
        'a superuser of one can read and change the catalogue: name another unprivileged account ' +
        'in HOLDFAST_CATALOGUE_USER',
    ]
  }
  if (asked !== null || !SHARED.has(catalogue.name)) return []
  return [
    `the catalogue's server runs as ${catalogue.name}, as other programs of this system may do, ` +
      'which can then read and change the catalogue: make an account named holdfast, or name one ' +
      'in HOLDFAST_CATALOGUE_USER',
  ]
}
