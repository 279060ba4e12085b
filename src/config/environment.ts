/** Variables by name; which of them mean something, `settings.ts` says. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The process's environment, for reading only; no other place reads it. */
export function readEnvironment(): Environment {
  return process.env
}
