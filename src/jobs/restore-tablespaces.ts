import { isAbsolute, join, normalize, relative, resolve } from 'node:path'
import { Fault } from '../base/fault.ts'
import type { EngineState } from '../engines/engine.ts'

/** Old location of a tablespace → the folder that it is restored to. */
export type TablespaceMapping = ReadonlyMap<string, string>

/** A tablespace that is put outside the restored directory. */
export interface PlacedTablespace {
  readonly oid: number
  /** Its place in the set, which becomes a link. */
  readonly path: string
  /** Where it was on the host that was backed up. */
  readonly from: string
  readonly directory: string
}

/**
 * Which tablespaces of the set go where. Throws Fault 'unfit' when the mapping names a tablespace
 * that the set does not have, or folders that are not apart from each other and from `directory`.
 */
export function placeTablespaces(
  mapping: TablespaceMapping,
  state: Pick<EngineState, 'tablespaces'>,
  directory: string,
): readonly PlacedTablespace[] {
  const placed: PlacedTablespace[] = []
  for (const [from, to] of mapping) {
    const found = state.tablespaces.find(({ location }) => normalize(location) === normalize(from))
    if (!found) throw unknownTablespace(from, state)
    if (!isAbsolute(to)) throw new Fault('unfit', `the folder of a tablespace is absolute: ${to}`)
    const { oid } = found
    placed.push({ oid, path: `pg_tblspc/${oid}`, from, directory: resolve(to) })
  }
  requireApart([resolve(directory), ...placed.map((tablespace) => tablespace.directory)])
  return placed
}

function unknownTablespace(from: string, state: Pick<EngineState, 'tablespaces'>): Fault {
  const locations = state.tablespaces.map(({ location }) => location)
  const known = locations.length === 0 ? 'it has none' : `it has ${locations.join(', ')}`
  return new Fault('unfit', `the set has no tablespace that was in ${from}`, { hint: known })
}

function requireApart(directories: readonly string[]): void {
  for (const [index, inner] of directories.entries()) {
    for (const [other, outer] of directories.entries()) {
      if (index === other || !isWithin(inner, outer)) continue
      throw new Fault('unfit', `${inner} and ${outer} cannot both be restored to`, {
        hint: 'the target and each tablespace need a folder of their own, none within another',
      })
    }
  }
}

function isWithin(inner: string, outer: string): boolean {
  const way = relative(outer, inner)
  return way === '' || !(way === '..' || way.startsWith('../') || isAbsolute(way))
}

/** The marker's path as the directory with the links shows it. */
export function markerIn(tablespace: PlacedTablespace, marker: string): string {
  return join(tablespace.path, marker)
}
