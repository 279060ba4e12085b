/**
 * The one shape in which engines and the repository meet: a tree of files as a stream.
 *
 * Paths are relative, separated by `/`, without `.` or `..`, and name the *place* of a file: what is
 * in the data directory by its path there, what is in a tablespace as `pg_tblspc/<OID>/…`.
 * A directory comes before what is in it.
 */
export type TreeEntry = Directory | Link | WholeFile

interface Named {
  readonly path: string
  /** Permission bits only, e.g. 0o600. */
  readonly mode: number
}

export interface Directory extends Named {
  readonly kind: 'directory'
}

export interface Link extends Named {
  readonly kind: 'link'
  readonly target: string
}

/** `content` must be consumed to its end before the next entry is asked for. */
export interface WholeFile extends Named {
  readonly kind: 'file'
  readonly content: AsyncIterable<Uint8Array>
}

/** What comes out of a restore: the length is known beforehand and `content` yields exactly it. */
export interface RestoredFile extends WholeFile {
  readonly lengthBytes: number
}

export type RestoredEntry = Directory | Link | RestoredFile
