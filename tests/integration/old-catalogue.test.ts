import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type pg from 'pg'
import { openDataFolder } from '../../src/app/data-folder.ts'
import { startCatalogue } from '../../src/app/open-catalogue.ts'
import { isFault } from '../../src/base/fault.ts'
import { SILENT } from '../../src/base/logger.ts'
import { type Connection, openCatalogue } from '../../src/catalogue/database.ts'
import { openJobs } from '../../src/catalogue/jobs.ts'
import { readDevelopmentClock } from '../../src/catalogue/settings.ts'
import { resolveServerAccounts } from '../../src/servers/accounts.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'
import { withDatabase } from '../../src/testing/with-database.ts'

/** A catalogue of the first release with rows in every table, as `pg_dump --inserts` wrote it. */
const FIRST_RELEASE = join(import.meta.dirname, 'catalogue-0001.sql')
const { signal } = new AbortController()

function withClient<T>(
  connection: Connection,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  return withDatabase({ ...connection, password: connection.password.reveal() }, work)
}

/** Every table's rows with the columns of the first release, as text. */
async function rowsOf(client: pg.Client, columns: ReadonlyMap<string, string>) {
  const rows = new Map<string, unknown>()
  for (const [table, names] of columns) {
    const found = await client.query(`select (${names})::text as line from ${table} order by 1`)
    rows.set(table, found.rows)
  }
  return rows
}

async function columnsOf(client: pg.Client): Promise<ReadonlyMap<string, string>> {
  const { rows } = await client.query(`select table_name as table,
      string_agg(quote_ident(column_name), ', ' order by ordinal_position) as names
    from information_schema.columns where table_schema = 'public'
      and table_name not like 'kysely%' group by 1`)
  return new Map(rows.map((row) => [row.table, `row(${row.names})`]))
}

async function loadFirstRelease(connection: Connection) {
  const dump = await readFile(FIRST_RELEASE, 'utf8')
  await withClient(connection, (client) =>
    client.query(`drop schema public cascade; create schema public; ${dump}`),
  )
  return await withClient(connection, async (client) => {
    const columns = await columnsOf(client)
    return { columns, rows: await rowsOf(client, columns) }
  })
}

describe('a catalogue of the first release', () => {
  it('keeps every row through its migrations and a new major of PostgreSQL', async () => {
    await using folder = await temporaryFolder('old')
    const names = { serverUser: null, catalogueUser: null }
    const { catalogue: user } = await resolveServerAccounts(names, process.getuid?.() ?? -1)
    const data = await openDataFolder(join(folder.path, 'data'), user !== null)
    const first = await startCatalogue(data, user, SILENT, signal, 17)
    const before = await loadFirstRelease(first.catalogue.connection).finally(() =>
      first[Symbol.asyncDispose](),
    )
    assert.equal(before.columns.size, 17)
    for (const [table, rows] of before.rows) assert.notDeepEqual(rows, [], `rows of ${table}`)

    await using next = await startCatalogue(data, user, SILENT, signal)
    const { connection } = next.catalogue
    const after = await withClient(connection, (client) => rowsOf(client, before.columns))
    assert.deepEqual(after, before.rows)
    // What a set knows of its undelete window now was known of its deletion only.
    const wrong = `select
        (select count(*) from backup_set s left join deletion d using (deletion)
          where s.state = 'deleted' and s.purge_after is distinct from d.purge_after)
        + (select count(*) from series r where r.kept_count <> (
            select count(*) from backup_set s where s.series = r.series and s.state = 'kept'))
      as wrong`
    const found = await withClient(connection, (client) => client.query(wrong))
    assert.equal(String(found.rows[0]?.wrong), '0')
    assert.equal(await next.catalogue.transaction(readDevelopmentClock), true)
    const [job] = await next.catalogue.transaction(openJobs)
    assert.equal(job?.id, 1002)
    await withClient(connection, async (client) => {
      const { rows } =
        await client.query(`insert into job (kind, instance_id, parameters, created_at)
        select kind, instance_id, '{}', created_at from job limit 1 returning job_id`)
      assert.equal(String(rows[0]?.job_id), '1003')
      await client.query(`insert into kysely_migration values ('9999-later', '2027-01-01')`)
    })
    await assert.rejects(
      openCatalogue(connection, SILENT),
      (error) => isFault(error, 'unfit') && /made by a newer version/.test(error.message),
    )
  })

  it('of a later version is not taken to a new major either, and is left as it was', async () => {
    await using folder = await temporaryFolder('later')
    const names = { serverUser: null, catalogueUser: null }
    const { catalogue: user } = await resolveServerAccounts(names, process.getuid?.() ?? -1)
    const data = await openDataFolder(join(folder.path, 'data'), user !== null)
    {
      await using first = await startCatalogue(data, user, SILENT, signal, 17)
      await withClient(first.catalogue.connection, (client) =>
        client.query(`insert into kysely_migration values ('9999-later', '2027-01-01')`),
      )
    }
    await assert.rejects(
      startCatalogue(data, user, SILENT, signal),
      (error) => isFault(error, 'unfit') && /made by a newer version/.test(error.message),
    )
    assert.equal(await readFile(join(data.catalogue, 'PG_VERSION'), 'utf8'), '17\n')
  })
})
