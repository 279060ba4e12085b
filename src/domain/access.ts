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
  const access = addresses.flatMap((address) => accessLines(role, address))
  return [
    '-- On the primary, as a superuser:',
    ...sql,
    '',
    '# In pg_hba.conf of every server, then SELECT pg_reload_conf():',
    ...access,
    '',
  ].join('\n')
}

/** One line for SQL and one for replication; `hostssl` lets nobody in without TLS. */
export function accessLines(role: string, address: string): readonly string[] {
  return ['postgres', 'replication'].map((database) =>
    ['hostssl', database, quoteName(role), address, 'scram-sha-256'].join('  '),
  )
}

/** PostgreSQL manual, "Identifiers and Key Words". */
export function quoteIdentifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}

/** In pg_hba.conf quotes keep blanks, commas and words like `all` from meaning something. */
function quoteName(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && name !== 'all' ? name : `"${name}"`
}
