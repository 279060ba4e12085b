import { Fault } from '../base/fault.ts'
import type { FieldReader } from './byte-fields.ts'
import { fieldReader, fieldWriter } from './byte-fields.ts'
import { REF_BYTES } from './chunk-ref.ts'
import { mapShape } from './map-shape.ts'

/** What the list of files says of one path. */
export type ListEntry = ListedDirectory | ListedLink | ListedFile

interface Listed {
  readonly path: string
  readonly mode: number
}

interface ListedDirectory extends Listed {
  readonly kind: 'directory'
}

interface ListedLink extends Listed {
  readonly kind: 'link'
  readonly target: string
}

export interface ListedFile extends Listed {
  readonly kind: 'file'
  readonly lengthBytes: number
  /** The references of the map's last level, as they are stored. */
  readonly roots: Uint8Array
}

/** Of a path and of a link's target, in UTF-8; so that an entry always fits into a batch. */
export const PATH_BYTES_MAX = 4096

const KINDS = ['directory', 'file', 'link'] as const

export function encodeListEntry(entry: ListEntry): Buffer {
  const fields = fieldWriter()
  fields.text(entry.path)
  fields.number(KINDS.indexOf(entry.kind))
  fields.number(entry.mode)
  if (entry.kind === 'link') fields.text(entry.target)
  if (entry.kind === 'file') {
    fields.number(entry.lengthBytes)
    fields.plain(entry.roots)
  }
  return fields.finish()
}

/** The entries that `bytes` are made of; `what` names them in the Fault 'corrupt'. */
export function decodeListEntries(
  bytes: Uint8Array,
  chunkBytes: number,
  what: string,
): readonly ListEntry[] {
  const fields = fieldReader(bytes, what)
  const entries: ListEntry[] = []
  while (!fields.ended) entries.push(readEntry(fields, chunkBytes, what))
  return entries
}

function readEntry(fields: FieldReader, chunkBytes: number, what: string): ListEntry {
  const path = fields.text()
  const kind = KINDS[fields.number()]
  const mode = fields.number()
  switch (kind) {
    case 'directory':
      return { kind, path, mode }
    case 'link':
      return { kind, path, mode, target: fields.text() }
    case 'file': {
      const lengthBytes = fields.number()
      const rootCount = mapShape({ lengthBytes, chunkBytes }).at(-1) ?? 0
      return { kind, path, mode, lengthBytes, roots: fields.plain(rootCount * REF_BYTES) }
    }
    default:
      throw new Fault('corrupt', `${what} holds an entry of an unknown kind`)
  }
}
