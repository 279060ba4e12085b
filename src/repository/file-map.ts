import type { ChunkRef } from './chunk-ref.ts'
import { encodeRefs } from './chunk-ref.ts'
import { FANOUT, ROOT_REFS_MAX } from './map-shape.ts'

/** A map in the making: takes references as they become known, level by level in order. */
export interface FileMap {
  /** The next reference of `level`. */
  resolved(level: number, ref: ChunkRef): void
  /** The file has this many chunks; no more will come. */
  end(chunkCount: number): void
}

interface FileMapEvents {
  /** A piece is to be stored as the `index`-th of `level`; its reference comes back by `resolved`. */
  piece(level: number, index: number, bytes: Buffer): void
  /** The map is complete; `roots` belong into the list entry. Called once. */
  complete(roots: Buffer): void
}

interface Level {
  /** References that no piece holds yet. */
  refs: ChunkRef[]
  count: number
  /** Null until known. */
  expected: number | null
}

export function createFileMap(events: FileMapEvents): FileMap {
  const levels: Level[] = []

  function levelAt(level: number): Level {
    const state = levels[level] ?? { refs: [], count: 0, expected: null }
    levels[level] = state
    return state
  }

  function cut(level: number): void {
    const state = levelAt(level)
    const index = Math.ceil(state.count / FANOUT) - 1
    const bytes = encodeRefs(state.refs)
    state.refs = []
    events.piece(level + 1, index, bytes)
  }

  /** A level that is complete either is the last one or tells the next one's length. */
  function settle(level: number): void {
    const state = levelAt(level)
    if (state.count !== state.expected) return
    if (state.expected <= ROOT_REFS_MAX) {
      events.complete(encodeRefs(state.refs))
      return
    }
    if (state.refs.length > 0) cut(level)
    const next = levelAt(level + 1)
    next.expected = Math.ceil(state.expected / FANOUT)
    settle(level + 1)
  }

  return {
    resolved(level, ref) {
      const state = levelAt(level)
      state.refs.push(ref)
      state.count += 1
      if (state.refs.length === FANOUT) cut(level)
      settle(level)
    },
    end(chunkCount) {
      levelAt(0).expected = chunkCount
      settle(0)
    },
  }
}
