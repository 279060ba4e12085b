import pg from 'pg'

/** Connects, works, and disconnects also when the work fails. */
export async function withDatabase<T>(
  configuration: pg.ClientConfig,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client(configuration)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** The one value of the last of these statements, as text. */
export function askDatabase(
  configuration: pg.ClientConfig,
  statements: readonly string[],
): Promise<string> {
  return withDatabase(configuration, async (client) => {
    let answer = ''
    for (const text of statements) {
      const { rows } = await client.query({ text, rowMode: 'array' })
      answer = String(rows[0]?.[0])
    }
    return answer
  })
}
