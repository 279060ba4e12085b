import { backup } from './backup.ts'
import { call } from './call.ts'
import { clock } from './clock.ts'
import { demo } from './demo.ts'
import { instance } from './instance.ts'
import { restore } from './restore.ts'
import { serve } from './serve.ts'
import { verify } from './verify.ts'

/** Gets the words after its name; gives an exit code, or nothing for 0. */
export type Command = (words: readonly string[], signal: AbortSignal) => Promise<number | undefined>

export const COMMANDS: Readonly<Record<string, Command>> = {
  serve,
  call,
  instance,
  backup,
  restore,
  clock,
  verify,
  demo,
}

export const USAGE = `Usage: holdfast <command>

Service
  serve [--development-clock]

Clients (signed HTTP; --endpoint, HOLDFAST_ENDPOINT or HOLDFAST_LISTEN names the service)
  call <Action> [--Name value …] [--Format XML]
  instance create --engine PostgreSQL --engine-version 18 [--category HighAvailability|Basic]
                  [--description TEXT]
  instance list
  instance show <instance>
  backup create <instance>
  backup list <instance>
  backup cancel <instance> <job>

Operators (need the data folder, HOLDFAST_DATA)
  restore --backup-id N --target-directory D
  instance connect <instance>        prints the URL of a local instance, with its password
  clock advance 8d
  verify

Demonstration
  demo [--size small] [--keep]
`
