/** Where a setting is read: what its default and a relative path in it depend on. */
export interface Place {
  /** Relative paths are relative to this one. */
  readonly directory: string
  /** Whether this process is root. */
  readonly root: boolean
  readonly home: string | null
  /** Of every setting but the data folder's own. */
  readonly dataDirectory: string
}

export type Group = 'places' | 'network' | 'access' | 'servers' | 'sets' | 'watching' | 'clients'

/** One setting: how it is described, and how it is read. */
export interface Setting<Value> {
  readonly name: string
  readonly group: Group
  /** For the reference page, in Markdown. */
  readonly meaning: string
  /** What holds when it is not set, for the reference page, in Markdown. */
  readonly otherwise: string
  /** A secret is never shown, and may come from the file that `<name>_FILE` names. */
  readonly secret: boolean
  /**
   * `text` is null when the setting is not set or empty. Tells each problem, and gives something
   * usable even then, so that the rest can be looked at too.
   */
  read(text: string | null, place: Place, tell: (problem: string) => void): Value
}

/** Keeps the type of a row's value. */
export function setting<Value>(row: Setting<Value>): Setting<Value> {
  return row
}
