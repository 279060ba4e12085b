/**
 * What a server needs so that `role` may back it up: the role, and the lines of pg_hba.conf for each
 * address (CIDR) that this service asks from. PostgreSQL manual, "The pg_hba.conf File" and
 * "Predefined Roles".
 */
export function accessPreparation(role: string, addresses: readonly string[]): string {
  const sql = [
    `CREATE ROLE ${quoteIdentifier(role)} LOGIN REPLICATION PASSWORD '…';`,
    `GRANT pg_monitor TO ${quoteIdentifier(role)};`,
  ]
  const access = addresses.flatMap((address) =>
    ['postgres', null].map((database) => accessLine({ kind: 'hostssl', database, role, address })),
  )
  return [
    '-- On the primary, as a superuser:',
    ...sql,
    '',
    '# In pg_hba.conf of every server, then SELECT pg_reload_conf():',
    ...access,
    '',
  ].join('\n')
}

/** What a line of pg_hba.conf lets in. */
export interface AccessLine {
  /** `hostssl` lets nobody in without TLS; `host` also does without. */
  readonly kind: 'hostssl' | 'host'
  /** A database by name; null: replication, which belongs to no database. */
  readonly database: string | null
  readonly role: string
  /** CIDR, or a word such as `samehost`. */
  readonly address: string
}

export function accessLine({ kind, database, role, address }: AccessLine): string {
  const where = database === null ? 'replication' : quoteName(database)
  return [kind, where, quoteName(role), address, 'scram-sha-256'].join('  ')
}

/** Always in quotes: a name like `user` means something else without (manual, "Lexical Structure"). */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** In pg_hba.conf quotes keep blanks, commas and words like `all` from meaning something. */
function quoteName(name: string): string {
  const plain = /^[a-z_][a-z0-9_]*$/.test(name) && !KEYWORDS.includes(name)
  return plain ? name : quoteIdentifier(name)
}

const KEYWORDS = ['all', 'sameuser', 'samerole', 'samegroup', 'replication']
