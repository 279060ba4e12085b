/** Gets the words after its name; gives an exit code, or nothing for 0. */
type Command = (words: readonly string[], signal: AbortSignal) => Promise<number | undefined>

/** Loaded when asked for: a client command needs neither the service nor its libraries. */
export const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.ts')).serve,
  call: async () => (await import('./call.ts')).call,
  instance: async () => (await import('./instance.ts')).instance,
  backup: async () => (await import('./backup.ts')).backup,
  restore: async () => (await import('./restore.ts')).restore,
  clock: async () => (await import('./clock.ts')).clock,
  verify: async () => (await import('./verify.ts')).verify,
  receipts: async () => (await import('./receipts.ts')).receipts,
  demo: async () => (await import('./demo.ts')).demo,
}

export const USAGE = `Usage: holdfast <command>

Service
  serve [--role all|api|worker] [--development-clock] [--allow-plain-http]

Clients (signed HTTP; --endpoint, HOLDFAST_ENDPOINT or HOLDFAST_LISTEN names the service)
  call <Action> [--Name value …] [--Format XML]
  instance create --engine PostgreSQL --engine-version 18 [--category HighAvailability|Basic]
                  [--description TEXT]
  instance attach --engine PostgreSQL --primary URL [--standby URL …] [--id ID]
                  [--type Readonly|Guard --of <instance>] [--password-file F]
                  [--ssl-root-cert F] [--ssl-cert F --ssl-key F] [--allow-plain-text]
                  [--max-rate KB] [--description TEXT] [--deletion-protection]
  instance attach --print-sql [--role NAME] [--from ADDRESS,…]
  instance detach <instance> [--keep None|Lastest|All] [--unreachable]
  instance list
  instance show <instance>
  backup create <instance>
  backup list <instance>
  backup cancel <instance> <job>

Operators (need HOLDFAST_DATA, or the service's HOLDFAST_DATABASE_URL, storage and key file)
  restore --backup-id N --target-directory D [--tablespace-mapping OLD=NEW …]
  instance connect <instance>        prints the URL of a local instance, with its password
  clock advance 8d
  verify [--sizes-only]
  receipts list [<instance>]
  receipts export [<instance>] [--output F]
  receipts verify [<instance>] [--heads F] | --file F

Demonstration
  demo [--size small] [--keep]
`
